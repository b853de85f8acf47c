"""``dacycle verify``: the delayed stream's analyses against withheld stations and, where there is one, a truth."""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import CycleRecord
from dacycle.cycler.cycle.report import finite
from dacycle.cycler.cycle.scores import Pairs, Scores, score
from dacycle.cycler.cycle.states import PUBLISHED, State, Stream
from dacycle.cycler.cycle.task import ANALYSIS_EQUIVALENTS, CHECKED, FORECAST
from dacycle.cycler.cycle.workspace import Kept
from dacycle.errors import DacycleError
from dacycle.obs.batch import Quality

__all__ = ["verify", "verify_json"]

COLUMNS = ("n", "rmse_analysis", "rmse_background", "rmse_climatology", "crps_analysis", "spread")


def verify(config: Config, start: datetime, end: datetime, truth: Path | None, as_json: bool) -> None:
    """Print the scores of all published cycles from ``start`` to ``end``."""
    with History.read(config.paths.state) as history:
        told = verify_json(config, history, start, end, truth)
    if as_json:
        json.dump(told, sys.stdout, indent=1, allow_nan=False)
        print()
        return
    for title, key in (("at withheld stations", "withheld"), ("against gridded truth", "truth")):
        if told[key] is not None:
            print("\n".join(_table(title, told[key])))
    if told["withheld"] is None and told["truth"] is None:
        raise DacycleError("nothing to verify against: set [assimilation] withhold_folds, or give --truth FILE")


def verify_json(
    config: Config, history: History, start: datetime, end: datetime, truth: Path | None = None
) -> dict[str, Any]:
    """The scores as the contract has them; what does not exist is None. DacycleError without published cycles."""
    records = [r for r in history.cycles(Stream.DELAYED, since=start, until=end) if r.state in PUBLISHED]
    records = [r for r in records if CHECKED in history.artefacts(r.id)]  # retention takes what scores are made of
    if not records:
        raise DacycleError(
            f"no published cycle from {start:%Y-%m-%dT%H} to {end:%Y-%m-%dT%H} in {history.path}, or none whose files "
            "retention has kept"
        )
    withheld = _scores(_at_stations(history, config, records))
    against = None
    if truth is not None:
        bundle = open_bundle(config.bundle.path)
        against = _scores(_against_truth(history, config, bundle, records, truth))
    ranked = withheld or against
    return {
        "withheld": _told(withheld),
        "truth": _told(against),
        "rank_histogram": {name: s.ranks for name, s in ranked.items()} if ranked else None,
    }


def _scores(parts: Iterator[tuple[str, tuple[Any, ...]]]) -> dict[str, Scores] | None:
    gathered: dict[str, Pairs] = {}
    for name, part in parts:
        gathered.setdefault(name, Pairs()).add(*part)
    return {name: score(pairs) for name, pairs in gathered.items()} or None


def _told(scores: Mapping[str, Scores] | None) -> dict[str, dict[str, float | None]] | None:
    if scores is None:
        return None
    return {name: {column: finite(getattr(s, column)) for column in COLUMNS} for name, s in scores.items()}


def _at_stations(history: History, config: Config, records: list[CycleRecord]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for record in records:
        work = Kept(config.paths.state, history, record)
        if record.state != State.PUBLISHED or not (work.has(CHECKED) and work.has(ANALYSIS_EQUIVALENTS)):
            continue
        batch, equivalents = work.batch(CHECKED), work.arrays(ANALYSIS_EQUIVALENTS)
        members = len(equivalents["analysis"])
        seed = [config.ensemble.seed, int(record.time.timestamp()) // 3600]
        draws = np.random.default_rng(seed).standard_normal((members, len(batch))) * batch.sigma
        for name in dict.fromkeys(batch.channel.tolist()):
            rows = (batch.channel == name) & (batch.quality == Quality.EVALUATED_ONLY)
            if not rows.any():
                continue
            background = equivalents["background"][:, rows].mean(0) if "background" in equivalents else None
            analysis, climatology = equivalents["analysis"][:, rows], equivalents["climatology"][rows]
            yield name, (batch.value[rows], analysis, background, climatology, np.ones(rows.sum()), draws[:, rows])


def _against_truth(
    history: History, config: Config, bundle: Bundle, records: list[CycleRecord], path: Path
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    from dacycle.cycler.assimilation.fields import lift
    from dacycle.cycler.products.truth import open_truth

    truth = open_truth(path)
    known = [record for record in records if record.time in truth.times]
    if not known:
        raise DacycleError(f"{path} has no truth at any of the {len(records)} published times")
    weight = np.repeat(bundle.grid.weights, bundle.grid.shape[1])
    for record in known:
        work = Kept(config.paths.state, history, record)
        fields = truth.read(bundle.channels, record.time)
        if fields.shape[1:] != bundle.grid.shape:
            raise DacycleError(
                f"{path}: expected fields on the analysis grid {bundle.grid.shape}; got {fields.shape[1:]}"
            )
        analysis = _published(config, bundle, record)
        lifted = lift(bundle, work.array(FORECAST), record.time).mean(0) if work.has(FORECAST) else None
        climatology = bundle.climatology.mean(record.time)
        for k, channel in enumerate(bundle.channels):
            members = analysis[:, k].reshape(len(analysis), -1)
            background = lifted[k].ravel() if lifted is not None else None
            certain = np.zeros_like(members)
            yield channel.name, (fields[k].ravel(), members, background, climatology[k].ravel(), weight, certain)


def _published(config: Config, bundle: Bundle, record: CycleRecord) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """The members (N, channels, nlat, nlon) of a cycle, or its mean (1, ...), from the products."""
    from dacycle.cycler.products.fields import read_fields
    from dacycle.cycler.products.folders import product_folder

    folder = product_folder(config.paths.state, record.time)
    stem = "analysis" if record.state == State.PUBLISHED else "forecast"
    for name in (f"{stem}_members.grib2", f"{stem}.nc", f"{stem}_mean.grib2"):
        if (folder / name).is_file():
            return read_fields(folder / name, bundle.channels, record.time).values
    raise DacycleError(f"{folder} holds no fields of the {stem}")


def _table(title: str, scores: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    rows: list[tuple[str, ...]] = [("channel", *COLUMNS)]
    for name, values in scores.items():
        cells = ("-" if v is None else f"{v:.4g}" if c != "n" else f"{v:.0f}" for c, v in values.items())
        rows.append((name, *cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    body = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [title, *body, ""]
