"""``dacycle osse``: one truth, one network, one set of errors, all methods; RMSE, CRPS and spread/skill of each."""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import coarsen, lift
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.cycle.ingest import gather
from dacycle.cycler.cycle.outliers import reject_outliers
from dacycle.cycler.experiments.demo import ARCHIVE, TRUTH
from dacycle.cycler.experiments.meter import Meter
from dacycle.cycler.experiments.scores import FloatArray, mean_over, rmse, score_table
from dacycle.cycler.experiments.twin import cycle, forecast
from dacycle.cycler.products.truth import Truth, open_truth
from dacycle.emulators.emulator import Emulator
from dacycle.emulators.registry import load_emulator
from dacycle.obs.batch import ObservationBatch
from dacycle.obs.source import open_source

__all__ = ["add_arguments", "run"]

Analyses = Iterator[tuple[datetime, FloatArray]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--out", type=Path, required=True, help="folder for scores.json and the table")
    parser.add_argument("--archive", type=Path, default=ARCHIVE, help="soundings made by `dacycle simulate soundings`")
    parser.add_argument("--truth", type=Path, default=TRUTH, help="the gridded truth they were made from")
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=int, default=16, help="denoiser calls per member")
    parser.add_argument("--skip", type=int, default=2, help="first analysis times left out of the scores")
    parser.add_argument("--seed", type=int, default=0)


@dataclass(frozen=True)
class World:
    """What all methods share."""

    bundle: Bundle
    emulator: Emulator
    batches: list[ObservationBatch]
    first: FloatArray
    arguments: argparse.Namespace

    def check(self, batch: ObservationBatch, forecast: FloatArray | None) -> ObservationBatch:
        """The last quality control, as in the cycle."""
        return reject_outliers(self.bundle, batch, forecast)

    def analyst(self, method: str) -> Analyst:
        """A method's analyst."""
        return Analyst(self.bundle, Settings(method, self.arguments.steps))


def climatology(world: World) -> Analyses:
    """The mean of the date: one member."""
    for batch in world.batches:
        yield batch.analysis_time, world.bundle.climatology.mean(batch.analysis_time)[None]


def free_run(world: World) -> Analyses:
    """The emulator alone from the first analysis."""
    state, time = coarsen(world.bundle, world.first), world.batches[0].analysis_time
    for batch in world.batches:
        if batch.analysis_time > time:
            state, time = forecast(world.emulator, state, time, batch.analysis_time), batch.analysis_time
        yield time, lift(world.bundle, state, time)


def soundings_alone(world: World) -> Analyses:
    """An analysis of each time by itself."""
    analyst = world.analyst("sda")
    for batch in world.batches:
        numbers = range(1, world.arguments.members + 1)
        checked = world.check(batch, None)
        yield batch.analysis_time, analyst.draw(batch.analysis_time, checked, None, numbers, world.arguments.seed)


def cycled(method: str, reinitialise: bool = True) -> Callable[[World], Analyses]:
    """LUCIE and soundings with a method's assimilation, with or without the loop."""

    def analyses(world: World) -> Analyses:
        steps = cycle(
            world.analyst(method),
            world.emulator,
            world.batches,
            world.arguments.members,
            world.arguments.seed,
            first=world.first,
            reinitialise=reinitialise,
            check=world.check,
        )
        for step in steps:
            yield step.time, step.states

    return analyses


METHODS: dict[str, Callable[[World], Analyses]] = {
    "climatology": climatology,
    "LUCIE alone": free_run,
    "soundings alone": soundings_alone,
    "sda, no reinit.": cycled("sda", reinitialise=False),
    "oi": cycled("oi"),
    "sda-jacobian-free": cycled("sda-jacobian-free"),
    "sda": cycled("sda"),
}


def run(args: argparse.Namespace) -> int:
    """Run every method, write scores.json and table.txt; returns the exit code."""
    console = Console()
    args.out.mkdir(parents=True, exist_ok=True)
    bundle, truth = open_bundle(args.bundle), open_truth(args.truth)
    with tempfile.TemporaryDirectory() as mirror:
        source = open_source("igra", str(args.archive), Path(mirror))
        batches = [gather(source, bundle, time).batch for time in truth.times]
    start = World(bundle, load_emulator(bundle), batches, np.empty(0, np.float32), args)
    checked = start.check(batches[0], None)
    first = start.analyst("sda").draw(truth.times[0], checked, None, range(1, args.members + 1), args.seed)
    world = World(bundle, start.emulator, batches, first, args)
    scores: dict[str, dict[str, list[float]]] = {}
    with Meter(console, total=len(METHODS) * len(batches)) as meter:
        for name, analyses in METHODS.items():
            meter.say(name)
            scores[name] = _score(world, truth, analyses(world), meter)
    settings = {"members": args.members, "steps": args.steps, "seed": args.seed, "skip": args.skip}
    told = {
        "world": bundle.card.world,
        "bundle": {"name": bundle.card.name, "digest": bundle.digest},
        "times": [f"{time:%Y-%m-%dT%H}" for time in truth.times],
        "settings": settings,
        "channels": bundle.card.channels,
        "scores": scores,
    }
    (args.out / "scores.json").write_text(json.dumps(told, indent=1) + "\n")
    title = f"RMSE of the ensemble mean, {bundle.card.world} world, {len(batches) - args.skip} analysis times (* best)"
    table = score_table(title, bundle.channels, {name: np.array(s["rmse"]) for name, s in scores.items()})
    with (args.out / "table.txt").open("w") as file:
        Console(file=file, width=160).print(table)
    console.print(table)
    for name in ("oi", "sda-jacobian-free", "sda"):
        ratio = np.array(scores[name]["spread_skill"])
        console.print(f"spread/skill of {name}: {ratio.mean():.2f} (channels {ratio.min():.2f} to {ratio.max():.2f})")
    return 0


def _score(world: World, truth: Truth, analyses: Analyses, meter: Meter) -> dict[str, list[float]]:
    """Per channel: RMSE of the mean, CRPS (fair), spread, and sqrt((N + 1) / N) spread / RMSE, against the truth."""
    grid = world.bundle.grid
    errors, crps, variances = [], [], []
    for number, (time, states) in enumerate(analyses):
        meter.advance(1)
        if number < world.arguments.skip:
            continue
        exact = truth.read(world.bundle.channels, time)
        errors.append(rmse(grid, states.mean(0), exact))
        crps.append(grid.mean(fair_crps(states, exact)))
        n = len(states)
        variances.append(grid.mean(states.astype(np.float64).var(0, ddof=1)) if n > 1 else np.zeros(len(exact)))
    n, spread, error = len(states), np.sqrt(np.mean(variances, 0)), mean_over(errors)
    return {
        "rmse": error.tolist(),
        "crps": np.mean(crps, 0).tolist(),
        "spread": spread.tolist(),
        "spread_skill": (np.sqrt((n + 1) / n) * spread / error).tolist(),
    }


def fair_crps(states: FloatArray, exact: FloatArray) -> FloatArray:
    """Continuous ranked probability score per point, unbiased in ensemble size (Ferro 2014): the absolute error of one
    member alone, else mean |x - y| minus half the mean |x - x'| over different members."""
    n = len(states)
    score: FloatArray = np.abs(states - exact).mean(0)
    if n == 1:
        return score
    ordered = np.sort(states, 0)
    ranks = (2 * np.arange(n) - n + 1).reshape(-1, *[1] * exact.ndim)
    return np.asarray(score - (ranks * ordered).sum(0) / (n * (n - 1)), dtype=np.float32)
