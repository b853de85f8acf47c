"""``dacycle train evaluate-emulator``: forecasts and a free run of a year, against runs that no training saw.

emulator.json   all numbers
emulator.md     the tables: RMSE per lead, drift and spectra of the free run
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dacycle.channels import DEFAULT_CHANNELS

__all__ = ["add_arguments", "run"]

FloatArray = npt.NDArray[np.float64]
HEAD = ("z500", "t850", "u500", "v500")
YEAR = timedelta(days=365)
STEP = timedelta(hours=6)
MONTH = 30 * 4  # six-hourly states


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    told = "nature runs or zarr stores that no training saw; of several seasons, for the spectra of a year's free run"
    parser.add_argument("--data", nargs="+", required=True, help=told)
    parser.add_argument("--bundle", default="default", help="bundle whose emulator is meant, and its climatology")
    parser.add_argument("--emulator", type=Path, help="folder of `dacycle train emulator`, instead of the bundle's")
    parser.add_argument("--out", type=Path, required=True, help="folder for emulator.json and emulator.md")
    parser.add_argument("--leads", type=int, nargs="+", default=[24, 48, 72], help="hours")
    parser.add_argument("--every", type=int, default=3, help="start from each so many of the six-hourly states")
    parser.add_argument("--free-days", type=float, default=365.0, help="length of the free run; 0: none")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the free run's fluctuations, where the emulator has any"
    )
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 leaves the choice to torch")


@dataclass(frozen=True)
class FreeRunScores:
    """``drift`` per channel: mean of the run a year later minus truth over the same days of the year; ``departure``:
    the 30-day mean of the global mean farthest from the climatology's; ``ratio`` of energy to truth's over the
    resolved zonal wavenumbers, over the same days of the year too, ``spectra`` the least and largest of them."""

    stable: bool
    fluctuating: bool
    days: float
    drift: dict[str, float]
    departure: dict[str, float]
    spectra: dict[str, tuple[float, float]]
    ratio: dict[str, list[float]]


def run(args: argparse.Namespace) -> int:
    """Evaluate, write, print; returns the exit code."""
    import torch

    from dacycle.cycler.assimilation.fields import coarsen
    from dacycle.cycler.training.coarse import join, read_dataset
    from dacycle.cycler.training.dataset import open_dataset, span
    from dacycle.cycler.training.emulator_files import open_emulator
    from dacycle.cycler.training.emulator_scores import score

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle, emulator, _ = open_emulator(args.bundle, args.emulator)
    runs = [open_dataset(location, bundle.grid.shape) for location in args.data]
    data = join([read_dataset(run, DEFAULT_CHANNELS, bundle.coarse.shape) for run in runs])
    told = ", ".join(span(run.times) for run in runs)

    def climate(time: datetime) -> FloatArray:
        return np.asarray(coarsen(bundle, bundle.climatology.mean(time)), dtype=np.float64)

    scores = score(emulator, data, tuple(args.leads), args.every, climate)
    count = len(data.starts(max(args.leads) // 6)[:: args.every])
    result: dict[str, Any] = {
        "data": ", ".join(f"{name} {span(run.times)}" for name, run in zip(args.data, runs, strict=True)),
        "world": bundle.card.world,
        "starts": count,
        "rmse": scores.as_dict(),
    }
    head = f"# Emulator on {told} of a world that is {bundle.card.world}\n"
    text = [head, f"RMSE of forecasts from {count} starts (persistence in brackets) and of climatology:\n"]
    text += ["```", scores.table(), "```\n"]
    if args.free_days:
        free = _free_run(emulator, data, climate, args.free_days, args.seed)
        result["free_run"] = vars(free)
        text += _told(free)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "emulator.json").write_text(json.dumps(result, indent=2) + "\n")
    (args.out / "emulator.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))
    return 0


def _free_run(emulator: Any, data: Any, climate: Any, days: float, seed: int) -> FreeRunScores:
    """From the first state, ``days`` long and then over the days of the year that the data covers, each of them as
    often as the data has it."""
    from dacycle.cycler.training.free_run import free_run, zonal_spectrum

    names, grid, fluctuating = [c.name for c in data.channels], data.grid, emulator.fluctuations is not None
    begin, settled = data.times[0], data.times[0] + timedelta(days=days)
    covered = Counter(_hour_of_year(time) for time in data.times)
    year = [settled + k * STEP for k in range(round(YEAR / STEP))]
    last = max(time for time in year if _hour_of_year(time) in covered)
    steps = round((last - begin) / STEP)

    def counts(time: datetime) -> float:
        return float(covered[_hour_of_year(time)]) if time >= settled else 0.0

    done = free_run(emulator, data.states[0], begin, steps, counts, _progress, seed)
    if done.blown_up is not None:
        told = (done.blown_up - begin) / timedelta(days=1)
        return FreeRunScores(False, fluctuating, told, {}, {}, {}, {})
    drift = grid.mean(done.mean) - grid.mean(data.states.astype(np.float64)).mean(0)
    expected = np.stack([grid.mean(climate(time)) for time in done.times[::4]]).repeat(4, 0)[:steps]
    anomaly = done.global_mean - expected
    months = np.stack([anomaly[k : k + MONTH].mean(0) for k in range(0, max(1, steps - MONTH), MONTH)])
    truth = np.stack([zonal_spectrum(state.astype(np.float64), grid) for state in data.states]).mean(0)
    resolved = min(grid.shape[0], grid.shape[1] // 2)
    ratio = done.spectrum[:, 1:resolved] / truth[:, 1:resolved]
    return FreeRunScores(
        True,
        fluctuating,
        steps / 4,
        dict(zip(names, drift.tolist(), strict=True)),
        dict(zip(names, months[np.abs(months).argmax(0), range(len(names))].tolist(), strict=True)),
        {name: (float(row.min()), float(row.max())) for name, row in zip(names, ratio, strict=True)},
        {name: np.round(row, 3).tolist() for name, row in zip(names, ratio, strict=True)},
    )


def _hour_of_year(time: datetime) -> tuple[int, int, int]:
    return time.month, time.day, time.hour


def _told(free: FreeRunScores) -> list[str]:
    if not free.stable:
        return [f"The free run blew up after {free.days:.0f} days."]
    kind = "its small scales fluctuating" if free.fluctuating else "deterministic"
    lines = [
        f"Free run of {free.days:.0f} days, {kind}.\n"
        "Drift: global mean a year later minus truth, same days of the year;\n"
        "departure: the 30-day mean that lies farthest from the climatology's; spectra: energy relative to truth,\n"
        "least and largest over all resolved zonal wavenumbers, and how many of them lie within a factor of two.\n",
        "| channel | drift | departure | spectra | within 2 |",
        "|---|---|---|---|---|",
    ]
    for name, (least, most) in free.spectra.items():
        ratio = np.array(free.ratio[name])
        inside = f"{int(((ratio >= 0.5) & (ratio <= 2)).sum())} of {len(ratio)}"
        drift, departure = f"{free.drift[name]:.3g}", f"{free.departure[name]:.3g}"
        lines.append(f"| {name} | {drift} | {departure} | {least:.2f} to {most:.2f} | {inside} |")
    return lines


def _progress(fraction: float) -> None:
    if sys.stdout.isatty():
        print(f"free run {100 * fraction:.1f} %", end="\r", flush=True)
