"""A program that kills cycles with SIGKILL at every point they pass, restarts each, and prints what became of it.

Usage: killing.py BUNDLE SOURCE FOLDER cycle|rerun. It imports the networks once and forks for every run, so that many
points cost little; each run is a process of its own, with nothing in memory from the one that was killed.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

from dacycle.cycler.config import Config
from dacycle.cycler.cycle import assimilate, forecast, publish, reinitialise  # noqa: F401  (loaded before the forks)
from dacycle.cycler.cycle.engine import open_engine, run_cycle
from dacycle.cycler.cycle.progress import Observer, Progress, unobserved
from dacycle.cycler.service.worker import Worker
from tests.cycle.outcomes import outcome
from tests.cycle.small_world import START, config, hours, soundings

NOW = datetime(2021, 3, 20, tzinfo=UTC)
SOON = hours(37)
LAST = hours(24)
OF_A_PASS = "cycle_", "publish", ".nc", "recorded  chunk-001"
"""Where the points of a pass over several cycles are others than those of one cycle by itself, and one inside."""
Run = Callable[[Config, Observer], object]


def main(bundle: Path, source: Path, folder: Path, what: str) -> None:
    """What goes before undisturbed; then the work again and again, killed at one point each time."""
    torch.set_num_threads(1)
    before = configured(folder / "before", source, bundle)
    run: Run
    if what == "cycle":
        run = second
        assert forked(lambda: run_cycle(before, START, NOW)) == 0
    else:
        run = waking
        everything = [START, hours(12), LAST]
        soundings(source, everything, late={hours(12): 5})
        assert forked(lambda: waking(before)) == 0
        soundings(source, everything)
    told: dict[str, object] = {}
    undisturbed = copied(before, folder / "undisturbed", source, bundle)
    trace = folder / "trace.txt"
    assert forked(lambda: run(undisturbed, tracing(trace))) == 0
    told["undisturbed"] = outcome(undisturbed)
    points = trace.read_text().splitlines()
    for number, name in enumerate(points):
        if what == "rerun" and not any(part in name for part in OF_A_PASS):
            continue
        chosen = copied(before, folder / f"killed-{number}", source, bundle)
        assert forked(lambda n=number, c=chosen: run(c, killing(n))) == -signal.SIGKILL, name
        assert forked(lambda c=chosen: run(c, unobserved)) == 0, name
        told[f"{number} {name}"] = outcome(chosen)
        shutil.rmtree(folder / f"killed-{number}")
    print(json.dumps(told))


def second(chosen: Config, observer: Observer = unobserved) -> None:
    """The second cycle, by itself."""
    run_cycle(chosen, hours(12), NOW, observer)


def waking(chosen: Config, observer: Observer = unobserved) -> None:
    """The daemon wakes once: what is owed, what late soundings have run again, and the early stream."""
    with open_engine(chosen, SOON, observer) as engine:
        Worker(engine, lambda: SOON).work()


def configured(root: Path, source: Path, bundle: Path) -> Config:
    return config(root, source, bundle, cycle={"first": START, "cutoff_hours": 12, "cutoff_max_hours": 240})


def copied(before: Config, root: Path, source: Path, bundle: Path) -> Config:
    """A state directory that has what goes before."""
    chosen = configured(root, source, bundle)
    shutil.copytree(before.paths.state, chosen.paths.state)
    return chosen


def forked(work: Callable[[], None]) -> int:
    """Do the work in a child; its exit code, negative for the signal that ended it."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tracing(path: Path) -> Observer:
    """Writes down every point in order."""

    def note(progress: Progress) -> None:
        with path.open("a") as file:
            file.write(f"{progress.point} {progress.stage} {progress.detail}".strip() + "\n")

    return note


def killing(number: int) -> Observer:
    """SIGKILL at the point of that number."""
    passed = 0

    def count(progress: Progress) -> None:
        nonlocal passed
        if passed == number:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    return count


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4])
