"""``dacycle folds``: a first analysis of one hour's soundings, each station withheld once, next to plain interpolation.

Station ID is withheld in fold crc32(ID) % folds. Values that a latitude climatology fitted to all stations calls
implausible are left out for every method, before any of them runs; all others are scored, whatever the checks of the
analysis made of them. A fold that was done is not done again.
"""

import argparse
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from dacycle.cycler.arguments import analysis_time
from dacycle.cycler.assimilation.adapt import adapt
from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import observe
from dacycle.cycler.bundle import open_bundle
from dacycle.cycler.cycle.ingest import gather
from dacycle.cycler.cycle.prepare import prepare
from dacycle.cycler.experiments.meter import Meter
from dacycle.cycler.experiments.plain_oi import ERRORS, Values, interpolate, latitude_climatology, plausible
from dacycle.cycler.products.atomic import write_text
from dacycle.errors import DacycleError
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.quality import withhold
from dacycle.obs.source import open_source

__all__ = ["add_arguments", "run"]

LEVELS = (850, 500, 250)
CHANNELS = tuple(f"{variable}{level}" for variable in "tuvz" for level in LEVELS)
COLUMNS = ("value", "latitude", "plain", "bundle", "analysis", "spread")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("time", type=analysis_time, metavar="TIME", help="analysis time, as 2005-08-26T00 (UTC)")
    parser.add_argument("--archive", required=True, help="folder of soundings in the layout of IGRA v2")
    parser.add_argument("--out", type=Path, required=True, help="folder for the folds and scores.json")
    parser.add_argument("--bundle", default="default", help="a bundle's folder, or default")
    parser.add_argument("--method", default="sda", help="of the analysis; %(default)s unless given")
    parser.add_argument("--members", type=int, default=8, help="of the ensemble; %(default)s unless given")
    parser.add_argument("--steps", type=int, help="denoiser calls per member; unset: the method's own")
    parser.add_argument("--seed", type=int, default=0, help="of all random draws; %(default)s unless given")
    parser.add_argument(
        "--folds", type=int, default=10, help="parts of the stations, each withheld once; %(default)s unless given"
    )
    parser.add_argument("--fixed", action="store_true", help="do not adapt errors and climate to the innovations")


def run(args: argparse.Namespace) -> int:
    """Run what is missing, show the table; returns the exit code."""
    console = Console()
    args.out.mkdir(parents=True, exist_ok=True)
    bundle = open_bundle(args.bundle)
    source = open_source("igra", args.archive, args.out / "mirror")
    batch = gather(source, bundle, args.time).batch
    if not len(batch):
        raise DacycleError(f"no soundings at {args.time:%Y-%m-%dT%H} in {args.archive}")
    told = {key: getattr(args, key) for key in ("method", "members", "steps", "seed", "folds", "fixed")}
    told |= {"time": f"{args.time:%Y-%m-%dT%H}", "bundle": bundle.digest}
    batch, scored = _without_implausible(batch)
    analyst: Analyst | None = None
    parts = []
    with Meter(console, args.folds) as meter:
        for fold in range(args.folds):
            meter.say(f"fold {fold}")
            path = args.out / f"fold-{fold:02d}.json"
            part = _read(path, told)
            if part is None:
                analyst = analyst or Analyst(bundle, Settings(args.method, args.steps))
                part = _fold(analyst, batch, scored, fold, args)
                write_text(path, json.dumps({"settings": told, "channels": part}, indent=1) + "\n")
            parts.append(part)
            meter.advance(1)
    pooled = {c: {k: np.concatenate([p[c][k] for p in parts]) for k in COLUMNS} for c in CHANNELS}
    scores = {c: _scores(c, columns) for c, columns in pooled.items()}
    done = {"settings": told, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M}", "scores": scores}
    write_text(args.out / "scores.json", json.dumps(done, indent=1) + "\n")
    console.print(_table(scores, args))
    better = sum(s["analysis"] <= s["plain"] for s in scores.values())
    below = sum(s["analysis"] < s["latitude"] for s in scores.values())
    console.print(
        f"at most plain interpolation in {better} of {len(scores)} channels, below the latitude climatology in {below}"
    )
    return 0


def _without_implausible(batch: ObservationBatch) -> tuple[ObservationBatch, ObservationBatch]:
    """The batch with implausible values marked, and the values that are scored: the first of each station."""
    drop, keep = np.zeros(len(batch), np.bool_), np.zeros(len(batch), np.bool_)
    for name in CHANNELS:
        rows = np.flatnonzero(batch.channel == name)
        rows = rows[np.sort(np.unique(batch.station[rows], return_index=True)[1])]
        good = plausible(_values(batch.select(rows)))
        drop[rows[~good]], keep[rows[good]] = True, True
    return batch.mark(drop, Quality.BACKGROUND), batch.select(keep)


def _values(batch: ObservationBatch) -> Values:
    return Values(batch.lat, batch.lon, batch.value)


def _fold(
    analyst: Analyst, batch: ObservationBatch, scored: ObservationBatch, fold: int, args: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    bundle, folds = analyst.bundle, args.folds
    out = np.array([zlib.crc32(station.encode()) % folds == fold for station in scored.station.tolist()])
    asked = scored.select(out)
    states = _analysis(analyst, batch, fold, args)
    members = observe(bundle, states, asked)
    climatology = observe(bundle, bundle.climatology.mean(args.time)[None], asked)[0]
    told = {}
    for name in CHANNELS:
        mine = asked.channel == name
        known = _values(scored.select((scored.channel == name) & ~out))
        here = _values(asked.select(mine))
        columns: dict[str, npt.NDArray[Any]] = {
            "value": here.value,
            "latitude": latitude_climatology(known, here),
            "plain": interpolate(known, here, ERRORS[name[0]]),
            "bundle": climatology[mine],
            "analysis": members[:, mine].mean(0, dtype=np.float64),
            "spread": members[:, mine].std(0, ddof=1, dtype=np.float64),
        }
        told[name] = {key: np.asarray(column, float).tolist() for key, column in columns.items()}
    return told


def _analysis(analyst: Analyst, batch: ObservationBatch, fold: int, args: argparse.Namespace) -> npt.NDArray[Any]:
    """The first analysis of a cycle, the fold's stations withheld from everything."""
    bundle, prior = analyst.bundle, analyst.prior
    channels = tuple(c.name for c in bundle.channels)
    known = Adaptation.none(channels) if args.fixed else Adaptation.ignorant(channels)

    def learn(known: Adaptation, values: ObservationBatch) -> tuple[Adaptation, Adaptation]:
        return (known, known) if args.fixed else adapt(bundle, prior, known, values, None, 0.0)

    prepared = prepare(bundle, known, batch, None, lambda b: withhold(b, args.folds, fold), learn)
    numbers = range(1, args.members + 1)
    return analyst.draw(args.time, prepared.batch, None, numbers, args.seed, adaptation=prepared.now)


def _scores(channel: str, columns: dict[str, npt.NDArray[Any]]) -> dict[str, float]:
    def rmse(name: str) -> float:
        return float(np.sqrt(np.mean((columns[name] - columns["value"]) ** 2)))

    told = {name: rmse(name) for name in ("latitude", "plain", "bundle", "analysis")}
    expected = np.sqrt(np.mean(columns["spread"] ** 2))
    return {"n": len(columns["value"]), **told, "spread": float(expected)}


def _table(scores: dict[str, dict[str, float]], args: argparse.Namespace) -> Table:
    title = (
        f"RMSE at withheld stations, {args.time:%Y-%m-%dT%H}, {args.folds} folds, {args.method}, "
        f"{args.members} members; spread without the observation error"
    )
    table = Table(title=title, title_justify="left")
    heads = ("channel", "n", "latitude climatology", "bundle's climatology", "plain OI", "analysis", "spread")
    for head in heads:
        table.add_column(head, justify="right")
    for name, s in scores.items():
        cells = [f"{s[key]:.2f}" for key in ("latitude", "bundle", "plain", "analysis", "spread")]
        table.add_row(name, str(s["n"]), *cells)
    return table


def _read(path: Path, settings: dict[str, Any]) -> dict[str, dict[str, list[float]]] | None:
    """A fold that was done with the same settings."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return told["channels"] if told.get("settings") == settings else None
