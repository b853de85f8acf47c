"""All products of one cycle appear at once, or stay as they were.

A cycle is written into the staging folder, manifest last, and the two folders change places; a reader that has
opened the old folder keeps it whole. Only one process publishes: the one that holds the lock of the state directory.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dacycle.binding import carried
from dacycle.cycler.products.atomic import Artefact, flush, write_text
from dacycle.cycler.products.ensemble import Ensemble, Kind
from dacycle.cycler.products.exchange import exchange, undo_exchange
from dacycle.cycler.products.folders import EARLY, SUPERSEDED, Stream
from dacycle.cycler.products.grib import write_grib
from dacycle.cycler.products.manifest import Manifest, read_manifest, verify, write_manifest
from dacycle.cycler.products.netcdf import write_netcdf
from dacycle.cycler.products.observations import ObservationTable, write_observations
from dacycle.cycler.products.provenance import Provenance, stamp
from dacycle.cycler.products.quicklook import Quicklook, write_quicklook
from dacycle.errors import ProductError

__all__ = ["FORMATS", "ProductRequest", "publish", "recover"]

FORMATS = ("grib2", "netcdf")
MARK = "superseded.json"


@dataclass(frozen=True)
class ProductRequest:
    """Everything that one cycle publishes.

    ``analysis`` is None where nothing was assimilated; ``forecasts`` ascend in valid time; ``observations`` is None
    where none arrived; ``members`` says whether single members are published besides mean and spread. ``runtime``
    (clock times, seconds per stage) goes into the manifest alone; ``quicklook`` asks for pictures.
    """

    time: datetime
    stream: Stream
    provenance: Provenance
    analysis: Ensemble | None = None
    forecasts: tuple[Ensemble, ...] = ()
    observations: ObservationTable | None = None
    formats: tuple[str, ...] = FORMATS
    members: bool = True
    runtime: Mapping[str, Any] = field(default_factory=dict)
    quicklook: Quicklook | None = None

    def __post_init__(self) -> None:
        if unknown := set(self.formats) - set(FORMATS):
            raise ProductError(f"unknown product format {min(unknown)!r}; expected some of {', '.join(FORMATS)}")
        if self.analysis is not None and (self.analysis.hours is not None or self.analysis.time != self.time):
            raise ProductError(f"expected an analysis of {stamp(self.time)}; got the {self.analysis}")
        if any(forecast.hours is None for forecast in self.forecasts):
            raise ProductError(f"expected forecasts with their hours; got the {self.forecasts[0]}")


def publish(folder: Path, request: ProductRequest, keep_superseded: bool = True) -> Manifest:
    """Write all products of a cycle and put them in place; the manifest that then lies in ``folder``.

    Products that are already there move to ``superseded/<revision>/`` or, without ``keep_superseded``, go; products
    that come out the same stay untouched. ProductError leaves ``folder`` as it was.
    """
    staging = recover(folder, keep_superseded)
    try:
        staging.mkdir(parents=True)
        artefacts, clipped, undrawn = _write(staging, request)
        current = read_manifest(folder)
        manifest = Manifest.of(
            request.provenance,
            artefacts,
            time=stamp(request.time),
            stream=request.stream,
            revision=current.revision + 1 if current else 1,
            clipped=clipped,
            runtime={**request.runtime, **({"quicklook": undrawn} if undrawn else {})},
        )
        if current is not None and current.same_products(manifest) and not verify(folder):
            shutil.rmtree(staging)
            return current
        write_manifest(staging, manifest)
        if not folder.exists():
            staging.rename(folder)
            flush(folder.parent)
            return manifest
        _carry(folder, staging)
        exchange(staging, folder)
        _retire(staging, folder, keep_superseded)
    except ProductError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    except OSError as error:
        raise ProductError(f"cannot publish {folder}: {error.strerror or error}") from error
    return manifest


def recover(folder: Path, keep_superseded: bool = True) -> Path:
    """Finish or undo what a process that died left beside ``folder``; returns the free name of the staging folder."""
    staging = folder.with_name(f".{folder.name}.staging")
    undo_exchange(staging, folder)
    if not staging.exists():
        return staging
    left, current = read_manifest(staging), read_manifest(folder)
    if left is not None and current is not None and left.revision < current.revision:
        _retire(staging, folder, keep_superseded)
    else:
        shutil.rmtree(staging)
    return staging


def _write(staging: Path, request: ProductRequest) -> tuple[list[Artefact], dict[str, dict[str, int]], str]:
    """The product files, how many values of each channel lie at a physical limit, and why there are no pictures."""
    clipped: dict[str, dict[str, int]] = {}
    grib: list[tuple[Path, list[Ensemble], Kind]] = []
    netcdf: list[tuple[Path, list[Ensemble], tuple[Kind, ...]]] = []
    for stem, given in (("analysis", [request.analysis] if request.analysis else []), ("forecast", request.forecasts)):
        if not given:
            continue
        pairs = [ensemble.clipped() for ensemble in given]
        ensembles = [ensemble for ensemble, _ in pairs]
        clipped[stem] = dict(sum((Counter(counts) for _, counts in pairs), Counter()))
        kinds = ensembles[0].kinds(request.members)
        if "grib2" in request.formats:
            grib += [(staging / f"{stem}_{kind}.grib2", ensembles, kind) for kind in kinds]
        if "netcdf" in request.formats:
            netcdf.append((staging / f"{stem}.nc", ensembles, kinds))
    provenance = request.provenance
    # Both libraries release the interpreter while they pack; netCDF, which is not thread-safe, stays in this thread.
    with ThreadPoolExecutor(1, "grib") as pool:
        test = provenance.world == "simulated"
        packed = [pool.submit(carried(write_grib), *job, test, provenance.issuer) for job in grib]
        drawn = pool.submit(carried(_draw), staging, request)
        artefacts = [write_netcdf(*job, provenance) for job in netcdf]
        if request.observations is not None:
            artefacts.append(write_observations(staging / "observations.nc", request.observations, provenance))
        artefacts += [future.result() for future in packed]
        pictures, undrawn = drawn.result()
    return sorted([*artefacts, *pictures], key=lambda artefact: artefact.path), clipped, undrawn


def _draw(staging: Path, request: ProductRequest) -> tuple[list[Artefact], str]:
    """Quick-looks of the last valid time, or why there are none: no cycle fails for want of a picture."""
    ensemble = request.analysis or (request.forecasts[-1] if request.forecasts else None)
    if request.quicklook is None or ensemble is None:
        return [], ""
    try:
        return write_quicklook(staging, ensemble, request.observations, request.quicklook, request.provenance), ""
    except ProductError:
        raise  # a full disk concerns the other files as well
    except Exception as error:
        for path in staging.glob("quicklook*"):
            path.unlink()
        return [], f"not drawn: {type(error).__name__}: {error}"


def _carry(folder: Path, staging: Path) -> None:
    """What lies below ``folder`` beside its products must be there after the exchange, too: as hard links."""
    for name in (EARLY, SUPERSEDED):
        if (folder / name).is_dir():
            shutil.copytree(folder / name, staging / name, copy_function=_link)
            for path in [staging / name, *(staging / name).rglob("*")]:
                if path.is_dir():
                    flush(path)
    flush(staging)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
        flush(Path(target))


def _retire(old: Path, folder: Path, keep: bool) -> None:
    """Move what was exchanged out below the folder that replaced it, marked; every step may be repeated."""
    for name in (EARLY, SUPERSEDED):
        shutil.rmtree(old / name, ignore_errors=True)
    before, after = read_manifest(old), read_manifest(folder)
    if not keep or before is None or after is None:
        shutil.rmtree(old)
        return
    mark = {"revision": before.revision, "superseded_by_revision": after.revision}
    write_text(old / MARK, json.dumps(mark, indent=2) + "\n")
    (folder / SUPERSEDED).mkdir(exist_ok=True)
    old.rename(folder / SUPERSEDED / str(before.revision))
    for changed in (folder / SUPERSEDED, folder, folder.parent):
        flush(changed)
