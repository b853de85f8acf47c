"""Quick-looks: a picture per field, mean above and spread and increment below, and a page that shows them all."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.products.atomic import Artefact, write_atomically, write_text
from dacycle.cycler.products.derived import any_channel, derive, ingredients
from dacycle.cycler.products.ensemble import Ensemble
from dacycle.cycler.products.observations import ObservationTable
from dacycle.cycler.products.provenance import Provenance
from dacycle.obs.batch import Quality

if TYPE_CHECKING:
    from dacycle.cycler.products.drawing import Panel

__all__ = ["PAGE", "Quicklook", "write_quicklook"]

FloatArray = npt.NDArray[np.float32]
PAGE = "quicklook.html"


@dataclass(frozen=True)
class Quicklook:
    """What pictures need besides the ensemble: the ground (nlat, nlon), m, and the mean background or None.

    ``background`` (channels, nlat, nlon) has the state's channels, in front of any derived ones.
    """

    orography: FloatArray
    background: FloatArray | None


@dataclass(frozen=True)
class Look:
    """How a field is shown: palette, steps of the mean in ``units``, and factor and offset to these.

    ``difference`` are the units of spread and increment.
    """

    colours: str
    ticks: tuple[float, ...]
    units: str
    difference: str
    factor: float = 1.0
    offset: float = 0.0


def _steps(first: float, last: float, step: float) -> tuple[float, ...]:
    return tuple(float(x) for x in np.arange(first, last + step / 2, step))


LOOKS = {
    "msl": Look("pressure", _steps(956, 1052, 4), "hPa", "hPa", 0.01),
    "2t": Look("temperature", _steps(-48, 48, 4), "°C", "K", 1.0, -273.15),
    "t850": Look("temperature", _steps(-40, 40, 4), "°C", "K", 1.0, -273.15),
    "q850": Look("humidity", _steps(0, 18, 1), "g/kg", "g/kg", 1000.0),
    "z500": Look("height", _steps(4800, 6000, 60), "m", "m"),
    "ws250": Look("wind", _steps(0, 80, 5), "m/s", "m/s"),
}
"""What is drawn where the state has it, in this order. The steps are fixed, so that pictures of two times compare."""


def write_quicklook(
    folder: Path, ensemble: Ensemble, table: ObservationTable | None, look: Quicklook, provenance: Provenance
) -> list[Artefact]:
    """Pictures ``quicklook_<channel>.png`` and the page; nothing where the state has none of the fields."""
    from PIL import Image

    from dacycle.cycler.products.drawing import picture

    what, told = _what(ensemble), f"{_members(ensemble)}  ·  {provenance.method}"
    if provenance.world == "simulated":
        told += "  ·  prior of a simulated world"
    written: list[Artefact] = []
    shown: list[tuple[str, str]] = []
    for name, mean, spread, increment in _fields(ensemble, look):
        channel = any_channel(name)
        panels = list(_panels(LOOKS[name], mean, spread, increment, _stations(table, name)))
        # Bands and ink are few colours: 256 of them look the same and take a third of the room.
        drawn = picture(ensemble.grid, _title(channel), f"{what}  ·  {told}", panels)
        drawn = drawn.quantize(256, Image.Quantize.MEDIANCUT)
        path = folder / f"quicklook_{name}.png"
        written.append(write_atomically(path, lambda temporary, drawn=drawn: drawn.save(temporary, "png")))  # type: ignore[misc]
        shown.append((path.name, _title(channel)))
    if written:
        written.append(write_text(folder / PAGE, _page(ensemble, shown, told, table, provenance)))
    return written


def _title(channel: Channel) -> str:
    return channel.long_name[0].upper() + channel.long_name[1:]


def _what(ensemble: Ensemble) -> str:
    what = "Analysis of" if ensemble.hours is None else f"Forecast +{ensemble.hours} h for"
    return f"{what} {ensemble.time:%Y-%m-%d %H} UTC"


def _members(ensemble: Ensemble) -> str:
    return "one member" if ensemble.members == 1 else f"{ensemble.members} members"


def _fields(
    ensemble: Ensemble, look: Quicklook
) -> Iterator[tuple[str, FloatArray, FloatArray | None, FloatArray | None]]:
    """Name, mean, spread and increment of every field that can be shown."""
    names = [c.name for c in ensemble.channels]
    missing = [
        name
        for name in LOOKS
        if name not in names and _is_derived(name) and all(part in names for part in ingredients(name))
    ]
    parts = [part for name in missing for part in ingredients(name)]
    few = [ensemble.channels[names.index(part)] for part in dict.fromkeys(parts)]
    small = ensemble.states[:, [names.index(c.name) for c in few]]
    derived, channels = derive(small, few, missing, look.orography)
    made = {c.name: derived[:, k] for k, c in enumerate(channels)}
    before: dict[str, FloatArray] = {}
    if look.background is not None and ensemble.hours is None:
        # As increments of derived fields count those of the means: the background's members are not at hand.
        count = len(look.background)
        before = {c.name: field for c, field in zip(ensemble.channels[:count], look.background, strict=True)}
        known = [name for name in LOOKS if _is_derived(name) and all(part in before for part in ingredients(name))]
        state = look.background[None]
        extended, channels = derive(state, ensemble.channels[:count], known, look.orography)
        before |= {c.name: extended[0, k] for k, c in enumerate(channels)}
    means = {c.name: ensemble.fields("mean")[0, k] for k, c in enumerate(ensemble.channels)}
    for name in LOOKS:
        members = made[name] if name in missing else ensemble.states[:, names.index(name)] if name in names else None
        if members is None:
            continue
        mean = members.mean(0, dtype=np.float64).astype(np.float32)
        spread = members.std(0, ddof=1, dtype=np.float64).astype(np.float32) if len(members) > 1 else None
        increment = None
        if name in before:
            after = mean
            if _is_derived(name):
                own = np.stack([means[part] for part in ingredients(name)])[None]
                made_of = [any_channel(part) for part in ingredients(name)]
                after = derive(own, made_of, [name], look.orography)[0][0, -1]
            increment = after - before[name]
        yield name, mean, spread, increment


def _is_derived(name: str) -> bool:
    return name == "msl" or name.startswith("ws")


def _panels(
    look: Look,
    mean: FloatArray,
    spread: FloatArray | None,
    increment: FloatArray | None,
    stations: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None,
) -> Iterator["Panel"]:
    from dacycle.cycler.products.drawing import Panel, levels

    yield Panel("Ensemble mean", look.units, look.factor * mean + look.offset, look.colours, look.ticks)
    if spread is not None:
        shown = look.factor * spread
        top = max(float(np.percentile(shown, 99.5)), 1e-9)
        yield Panel("Ensemble spread", look.difference, shown, "spread", levels(0.0, top, 9))
    if increment is not None:
        shown = look.factor * increment
        low, high = (float(x) for x in np.percentile(shown, [0.5, 99.5]))
        ticks = levels(low - 1e-9, high + 1e-9, 10, symmetric=True)
        yield Panel("Increment, and the stations used", look.difference, shown, "change", ticks, stations)


def _stations(
    table: ObservationTable | None, name: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Where values entered the analysis of this field."""
    if table is None:
        return None
    batch = table.batch
    parts = ingredients(name) if _is_derived(name) else (name,)
    used = np.isin(batch.channel, parts) & (batch.quality == Quality.ASSIMILATED)
    places = np.unique(np.stack([batch.lat[used], batch.lon[used]]), axis=1)
    return places[0], places[1]


STYLE = """
:root{color-scheme:light;--ink:#20242c;--quiet:#686e78;--line:#e3e5e9}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);max-width:1200px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}p{color:var(--quiet);margin:.2rem 0 1.2rem}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.8rem;margin:1.2rem 0}
dl div{border-top:2px solid var(--line);padding-top:.4rem}dt{color:var(--quiet);font-size:.85rem}dd{margin:0}
figure{margin:2rem 0;border-top:1px solid var(--line);padding-top:1rem}img{width:100%;height:auto;display:block}
nav a{margin-right:1rem}a{color:#2a5caa}
"""


def _page(
    ensemble: Ensemble,
    shown: list[tuple[str, str]],
    told: str,
    table: ObservationTable | None,
    provenance: Provenance,
) -> str:
    facts = {
        "Background": "the emulator's forecast" if provenance.background == "forecast" else "none",
        "Method": provenance.method,
        "Bundle": f"{provenance.bundle} ({provenance.world})",
        "Members": str(ensemble.members),
        "dacycle": provenance.version,
    }
    if table is not None:
        used = table.batch.quality == Quality.ASSIMILATED
        facts["Values used"] = f"{int(used.sum())} of {len(used)}"
        facts["Stations used"] = str(len(np.unique(table.batch.station[used])))
    boxes = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in facts.items())
    links = "".join(f'<a href="#{name}">{html.escape(title)}</a>' for name, title in shown)
    figures = "".join(
        f'<figure id="{name}"><img src="{name}" loading="lazy" width="1200" alt="{html.escape(title)}: maps of '
        f'ensemble mean, spread and increment"></figure>\n'
        for name, title in shown
    )
    title = _what(ensemble)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style>\n<h1>{title}</h1><p>{html.escape(told)}</p>\n<nav>{links}</nav>\n<dl>{boxes}</dl>\n"
        f'{figures}<p>Coastlines: Natural Earth. Files of this cycle: <a href="manifest.json">manifest.json</a>.</p>\n'
        "</html>\n"
    )
