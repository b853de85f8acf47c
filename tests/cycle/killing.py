"""A program that kills cycles with SIGKILL at every point they pass, restarts each, and prints what became of it.

Usage: killing.py BUNDLE SOURCE FOLDER. It imports the networks once and forks for every run, so that many points
cost little; each run is a process of its own, with nothing in memory from the one that was killed.
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
from dacycle.cycler.cycle.engine import run_cycle
from dacycle.cycler.cycle.progress import Observer, Progress, unobserved
from tests.cycle.outcomes import outcome
from tests.cycle.small_world import config, hours

NOW = datetime(2021, 3, 20, tzinfo=UTC)


def main(bundle: Path, source: Path, folder: Path) -> None:
    """Two cycles undisturbed; then the second one again and again, killed at one point each time."""
    torch.set_num_threads(1)
    before = config(folder / "before", source, bundle)
    assert forked(lambda: run(before, 0)) == 0
    told: dict[str, object] = {}
    undisturbed = copied(before, folder / "undisturbed", source, bundle)
    trace = folder / "trace.txt"
    assert forked(lambda: run(undisturbed, 12, tracing(trace))) == 0
    told["undisturbed"] = outcome(undisturbed)
    points = trace.read_text().splitlines()
    for number, name in enumerate(points):
        chosen = copied(before, folder / f"killed-{number}", source, bundle)
        assert forked(lambda n=number, c=chosen: run(c, 12, killing(n))) == -signal.SIGKILL, name
        assert forked(lambda c=chosen: run(c, 12)) == 0, name
        told[f"{number} {name}"] = outcome(chosen)
        shutil.rmtree(folder / f"killed-{number}")
    print(json.dumps(told))


def copied(before: Config, root: Path, source: Path, bundle: Path) -> Config:
    """A state directory that has the first cycle."""
    chosen = config(root, source, bundle)
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


def run(chosen: Config, hour: int, observer: Observer = unobserved) -> None:
    """The cycle of that hour."""
    run_cycle(chosen, hours(hour), NOW, observer)


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
    main(*map(Path, sys.argv[1:4]))
