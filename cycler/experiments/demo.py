"""``dacycle demo``: the real cycle on the soundings that ship, and the table of methods against the simulated truth.

With ``--live`` the daemon and its status page instead of the table (``live.py``).
"""

import argparse
import sys
import time as clock
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from dacycle.cycler.assimilation.methods import METHODS
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.config_file import load_config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.models import Models
from dacycle.cycler.cycle.progress import Progress
from dacycle.cycler.experiments.comparison import NO_LOOP, SOUNDINGS, Comparison, compare
from dacycle.cycler.experiments.meter import Meter
from dacycle.cycler.experiments.scores import FloatArray, Rmse, mean_over, rmse, score_table
from dacycle.cycler.products.fields import read_fields
from dacycle.cycler.products.folders import product_folder
from dacycle.cycler.products.observations import read_observations
from dacycle.cycler.products.truth import Truth, open_truth
from dacycle.errors import DacycleError

__all__ = ["ARCHIVE", "TRUTH", "add_arguments", "run"]

PACKAGE = Path(__file__).resolve().parent.parent / "demo"
ARCHIVE, TRUTH = PACKAGE / "archive", PACKAGE / "truth.nc"
LOOP = "LUCIE + soundings, reinitialised"
SCORED_LAST = 3

CONFIG = """\
# Written by `dacycle demo`: the simulated world's soundings, which ship with the package.
[paths]
state = "{state}"

[source]
location = "{archive}"

[cycle]
first = {first}
# The demo ends here: `dacycle run` on this state shows the page and takes up nothing more.
last = {last}
early_stream = false

[ensemble]
members = {members}
chunk = 4

[assimilation]
steps = {steps}
# The world of the demo is the one that the bundle was trained on: there is no other climate to adapt to.
adaptive_covariance = false

[service]
heartbeat_seconds = 2

[log]
format = "console"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--workdir", type=Path, default=Path("demo-work"), help="configuration, state and products")
    parser.add_argument("--cycles", type=int, default=6, help="analysis times, the first of them from soundings alone")
    parser.add_argument("--members", type=int, default=4, help="of the ensemble; %(default)s unless given")
    parser.add_argument("--steps", type=int, default=METHODS["sda"].steps, help="denoiser calls per member")
    told = "the daemon with its status page instead of the table; an analysis time every two minutes"
    parser.add_argument("--live", action="store_true", help=told)


def run(args: argparse.Namespace) -> int:
    """Cycle, compare, show the table; returns the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    truth = open_truth(TRUTH)
    times = list(truth.times)
    if not 2 <= args.cycles <= len(times):
        raise DacycleError(f"--cycles {args.cycles}: expected 2 to {len(times)}, the times whose soundings ship")
    times = times[: args.cycles]
    config_path = write_config(args, times[0], times[-1])
    config = load_config(config_path)
    if args.live:
        from dacycle.cycler.experiments.live import live

        return live(config_path, config, times[0], console)
    bundle = open_bundle(config.bundle.path)
    began = clock.monotonic()
    console.print(
        f"dacycle demo: {len(times)} cycles of the [bold]simulated[/bold] world, {times[0]:%Y-%m-%dT%H} to "
        f"{times[-1]:%Y-%m-%dT%H}, {args.members} members on 128x256, {args.steps} denoiser calls each",
        soft_wrap=True,
    )
    program = sys.argv[0]  # as it was called: its environment need not be the shell's
    console.print(f"products go below {config.paths.state / 'products'}", soft_wrap=True)
    console.print(f"how far it is     {program} status --config {config_path}", soft_wrap=True)
    with Meter(console, total=args.members * args.steps * (3 * len(times) - 2)) as meter:
        loop = cycle_for_real(config, truth, times, meter)
        console.print("the cycles are done, their products complete; next, what the table compares them with")
        columns = compare_columns(config, bundle, truth, times, meter)
    columns[LOOP] = loop
    last = min(SCORED_LAST, len(times) - 1)
    means = {name: mean_over(errors[-last:]) for name, errors in columns.items()}
    title = (
        f"RMSE of the ensemble mean against the simulated truth, last {last} of {len(times)} analysis times (* best)\n"
        f"all columns start from the same soundings-only analysis of {times[0]:%Y-%m-%dT%H}"
    )
    console.print(score_table(title, bundle.channels, means))
    best = sum(
        int(np.argmin([v[k] for v in means.values()]) == list(means).index(LOOP)) for k in range(len(bundle.channels))
    )
    console.print(f"{LOOP}: best column for {best} of {len(bundle.channels)} channels")
    products = product_folder(config.paths.state, times[-1], "delayed")
    console.print(f"products     {products}", soft_wrap=True)
    console.print(f"status       {program} status --config {config_path}", soft_wrap=True)
    span = f"{times[0]:%Y-%m-%dT%H} {times[-1]:%Y-%m-%dT%H}"
    console.print(f"scores       {program} verify {span} --truth {TRUTH} --config {config_path}", soft_wrap=True)
    address = f"http://{config.service.host}:{config.service.port}/"
    console.print(f"status page  {program} run --config {config_path}, then {address}", soft_wrap=True)
    console.print(f"done in {clock.monotonic() - began:.0f} s")
    return 0


def write_config(args: argparse.Namespace, first: datetime, last: datetime) -> Path:
    """The demo's configuration file in the work folder, with absolute paths."""
    folder = args.workdir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    path: Path = folder / "dacycle.toml"
    path.write_text(
        CONFIG.format(
            # An interrupted demo goes on; another bundle or setting begins anew.
            state=folder
            / f"state-{open_bundle('default').digest[:8]}-{args.members}x{args.steps}{'-live' * args.live}",
            archive=ARCHIVE,
            first=f"{first:%Y-%m-%dT%H:%M:%SZ}",
            last=f"{last:%Y-%m-%dT%H:%M:%SZ}",
            members=args.members,
            steps=args.steps,
        )
    )
    return path


def cycle_for_real(config: Config, truth: Truth, times: list[datetime], meter: Meter) -> list[Rmse]:
    """The cycle itself, with ledger and products; RMSE of what was published at each time after the first."""
    seen: dict[datetime, float] = {}

    def observe(progress: Progress) -> None:
        if progress.point == "stage_begin":
            number = times.index(progress.time) + 1
            meter.say(f"cycle {number} of {len(times)}, {progress.time:%Y-%m-%dT%H}: {progress.stage}")
        if progress.point in ("step", "chunk") and progress.stage == "assimilate":
            share = progress.done / progress.total
            meter.advance((share - seen.get(progress.time, 0.0)) * config.ensemble.members * config.assimilation.calls)
            seen[progress.time] = share

    errors = []
    with open_engine(config, datetime.now(UTC), observe) as engine:
        for time in times:
            engine.run(time, datetime.now(UTC))
            if time == times[0]:
                continue
            mean = published(config, engine.bundle, time).mean(0)
            errors.append(rmse(engine.bundle.grid, mean, truth.read(engine.bundle.channels, time)))
    return errors


def compare_columns(
    config: Config, bundle: Bundle, truth: Truth, times: list[datetime], meter: Meter
) -> dict[str, list[Rmse]]:
    """The columns that the cycle is compared with, from the same first analysis and the same checked soundings."""
    models = Models(config, bundle)
    folders = [product_folder(config.paths.state, time, "delayed") for time in times]
    setting = Comparison(
        models.analyst,
        models.emulator,
        published(config, bundle, times[0]),
        [read_observations(folder / "observations.nc").batch for folder in folders],
        lambda batch: truth.read(bundle.channels, batch.analysis_time),
        config.ensemble.members,
        config.ensemble.seed,
    )

    def told(name: str) -> None:
        meter.say(f"to compare with: {name}")
        if name in (SOUNDINGS, NO_LOOP):
            meter.advance(config.ensemble.members * config.assimilation.calls)

    return compare(setting, told)


def published(config: Config, bundle: Bundle, time: datetime) -> FloatArray:
    """The members as published (members, channels, nlat, nlon), read back from the product."""
    folder = product_folder(config.paths.state, time, "delayed")
    return read_fields(folder / "analysis.nc", bundle.channels, time).values
