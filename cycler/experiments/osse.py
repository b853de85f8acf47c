"""``dacycle osse``: one truth, one network, one set of errors, all methods; tables, intervals and plots in one report.

Every method goes from time to time by itself, and what it has done stays: the same command goes on where it was
stopped, one analysis at a time, and ``--methods`` chooses which go on. The report is written after every method, with
whatever is there; scores are compared over the times that a method and the default have both done.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.methods import LetkfSettings
from dacycle.cycler.bundle import open_bundle
from dacycle.cycler.config_file import load_config
from dacycle.cycler.cycle.ingest import gather
from dacycle.cycler.experiments.claim import claim
from dacycle.cycler.experiments.demo import ARCHIVE, TRUTH
from dacycle.cycler.experiments.meter import Meter
from dacycle.cycler.experiments.osse_methods import METHODS, Place, World, advance, first_analysis, published
from dacycle.cycler.experiments.osse_report import Experiment, load, write_report
from dacycle.cycler.experiments.osse_scores import Moment, both_grids
from dacycle.cycler.experiments.scores import FloatArray, score_table
from dacycle.cycler.products.arrays import write_arrays
from dacycle.cycler.products.atomic import write_atomically, write_text
from dacycle.cycler.products.truth import Truth, open_truth
from dacycle.cycler.training.super_resolution import Refiner
from dacycle.emulators.registry import load_emulator
from dacycle.obs.source import open_source

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--out", type=Path, required=True, help="folder for what is done, scores.json and report.html")
    parser.add_argument("--archive", type=Path, default=ARCHIVE, help="soundings made by `dacycle simulate soundings`")
    parser.add_argument("--truth", type=Path, default=TRUTH, help="the gridded truth they were made from")
    parser.add_argument("--bundle", default="default", help="a bundle's folder, or default")
    parser.add_argument("--members", type=int, default=8, help="of every method's ensemble; %(default)s unless given")
    parser.add_argument("--steps", type=int, help="denoiser calls per member; unset: the method's own")
    parser.add_argument("--skip", type=int, default=2, help="first analysis times left out of the scores (spin-up)")
    parser.add_argument("--seed", type=int, default=0, help="of all random draws; %(default)s unless given")
    told = "which, in this order: " + ", ".join(f"'{name}'" if " " in name else name for name in METHODS)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="NAME", help=told)
    parser.add_argument("--config", type=Path, metavar="FILE", help="a configuration, for its section [letkf]")
    parser.add_argument("--report-only", action="store_true", help="only write the report of what is there")


def run(args: argparse.Namespace) -> int:
    """Do what is missing, write the report; returns the exit code."""
    console = Console()
    args.out.mkdir(parents=True, exist_ok=True)
    bundle, truth = open_bundle(args.bundle), open_truth(args.truth)
    letkf = LetkfSettings(**load_config(args.config).letkf.model_dump())
    settings = {
        "world": bundle.card.world,
        "bundle": {"name": bundle.card.name, "digest": bundle.digest},
        "times": [f"{time:%Y-%m-%dT%H}" for time in truth.times],
        "members": args.members,
        "steps": args.steps,
        "seed": args.seed,
    }
    claim(args.out, settings)

    @lru_cache(maxsize=1)
    def analyst(method: str) -> Analyst:
        return Analyst(bundle, Settings(method, args.steps, letkf=letkf))

    @lru_cache(maxsize=1)
    def refiner() -> Refiner:
        return Refiner(bundle, args.steps)

    if not args.report_only:
        with tempfile.TemporaryDirectory() as mirror:
            source = open_source("igra", str(args.archive), Path(mirror))
            batches = [gather(source, bundle, time).batch for time in truth.times]
        emulator, nothing = load_emulator(bundle), np.empty(0, np.float32)
        start = World(bundle, emulator, batches, nothing, args.members, args.seed, refiner)
        world = replace(start, first=_first(args.out, start, analyst))
        with Meter(console, total=len(args.methods) * len(batches)) as meter:
            for name in args.methods:
                meter.say(name)
                for _ in _remaining(world, truth, name, analyst, args.out):
                    meter.advance(1)
                _report(args, settings, console, quiet=True)
    _report(args, settings, console, quiet=False)
    return 0


def _first(out: Path, world: World, analyst: Any) -> FloatArray:
    """The analysis that all methods start from, kept in ``out``."""
    path = out / "first.npy"
    if not path.is_file():
        states = first_analysis(world, analyst("sda"))

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.save(file, states, allow_pickle=False)

        write_atomically(path, write)
    return np.asarray(np.load(path, allow_pickle=False))


def _remaining(world: World, truth: Truth, name: str, analyst: Any, out: Path) -> Any:
    """Advance a method to the end, from where it was; yields after each time, done before or now."""
    folder, plan = out / name.replace(" ", "-").replace(",", ""), METHODS[name]
    folder.mkdir(exist_ok=True)
    path = folder / "place.npz"
    place = Place.load(path) if path.is_file() else Place.start(world, plan)
    yield from range(place.number)
    while place.number < len(world.batches):
        time = world.batches[place.number].analysis_time
        moved, analysis = advance(world, plan, analyst, place)
        members, exact = published(world, plan, analysis), truth.read(world.bundle.channels, time)
        fine, coarse = both_grids(world.bundle, members, exact)
        _keep(folder / f"scores-{place.number:04d}.npz", fine, coarse, plan.adaptive, moved.known)
        moved.save(path)
        place = moved
        yield place.number


def _keep(path: Path, fine: Moment, coarse: Moment, adaptive: bool, known: Adaptation) -> None:
    arrays = {f"{grid}_{key}": v for grid, m in (("fine", fine), ("coarse", coarse)) for key, v in vars(m).items()}
    if adaptive:
        arrays["factors"] = known.factors
    write_arrays(path, **arrays)


def _report(args: argparse.Namespace, settings: dict[str, Any], console: Console, quiet: bool) -> None:
    bundle = open_bundle(args.bundle)
    experiment = Experiment(settings, bundle.channels, args.skip, load(args.out, list(METHODS), args.skip))
    if not experiment.runs:
        if not quiet:
            console.print(f"no method has come past the first {args.skip} times yet")
        return
    told = experiment.told()
    write_text(args.out / "scores.json", json.dumps(told, indent=1) + "\n")
    write_report(args.out / "report.html", experiment)
    if quiet:
        return
    columns = {name: np.sqrt(run.series("fine", "square").mean(0)) for name, run in experiment.runs.items()}
    title = f"RMSE of the ensemble mean, {settings['world']} world, after {args.skip} analysis times (* best)"
    table = score_table(title, bundle.channels, columns)
    with (args.out / "table.txt").open("w") as file:
        Console(file=file, width=200).print(table)
    console.print(table)
    console.print("\n".join(experiment.verdicts()))
    console.print(f"report: {args.out / 'report.html'}")
