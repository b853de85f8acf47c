"""A cycle's files as the page links them: first what people look at, then what programs read."""

from dataclasses import dataclass

from dacycle.cycler.products.catalogue import Entry
from dacycle.cycler.products.manifest import MANIFEST
from dacycle.cycler.products.quicklook import PAGE

__all__ = ["Link", "links"]

KINDS = {"html": "", "nc": "netCDF", "grib2": "GRIB2", "json": "", "png": "picture"}
"""Ending -> how the label names it; in the order of the links."""
WORDS = {PAGE: "maps", MANIFEST: "manifest"}


@dataclass(frozen=True)
class Link:
    """``told``: what the label leaves out; ``download``: whether a browser could only make a mess of it."""

    address: str
    label: str
    told: str
    download: bool


def links(entry: Entry) -> list[Link]:
    """One for every file that the manifest names, and one for the manifest."""
    names = sorted([*entry.files, MANIFEST], key=lambda name: (_place(name), name))
    return [_link(entry, name) for name in names]


def _place(name: str) -> int:
    ending = name.rpartition(".")[2]
    return list(KINDS).index(ending) if ending in KINDS else len(KINDS)


def _link(entry: Entry, name: str) -> Link:
    stem, _, ending = name.rpartition(".")
    kind = KINDS.get(ending, ending)
    what = stem.partition("_")[2] or stem  # analysis_mean.grib2: the mean; analysis.nc: the analysis
    told = f"{name}, {entry.files[name] / 1e6:.1f} MB" if name in entry.files else name
    return Link(f"/{entry.folder}/{name}", WORDS.get(name, f"{what} ({kind})"), told, kind in ("netCDF", "GRIB2"))
