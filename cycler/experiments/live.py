"""``dacycle demo --live``: the daemon at work on the demo's soundings, with a clock that runs fast.

Everything is as in live use, the status page above all; only that the next analysis time comes after two minutes.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.states import Stream
from dacycle.cycler.logs import configure
from dacycle.cycler.service.daemon import Daemon
from dacycle.errors import StateError

__all__ = ["SPEED", "fast_clock", "live"]

SPEED = 360.0
"""Seconds of the daemon's clock in one of ours: twelve hours, from one analysis to the next, in two minutes."""


def live(path: Path, config: Config, first: datetime, console: Console) -> int:
    """Run until a signal; the exit code."""

    def listening(url: str) -> None:
        console.print(f"status page  {url}", soft_wrap=True)
        console.print("an analysis time every two minutes; Ctrl-C ends it, the same command goes on\n")

    configure(config.log)
    return Daemon(config, path, fast_clock(config, first), steady=None, speed=SPEED, listening=listening).run()


def fast_clock(config: Config, first: datetime) -> Callable[[], datetime]:
    """From the moment when the next cycle is due; ``first``: the time of the first."""
    began = time.monotonic()
    start = _next(config, first) + timedelta(hours=config.cycle.cutoff_hours)

    def clock() -> datetime:
        return start + timedelta(seconds=int(SPEED * (time.monotonic() - began)))

    return clock


def _next(config: Config, first: datetime) -> datetime:
    try:
        with History.read(config.paths.state) as history:
            newest = history.newest_published(Stream.DELAYED)
    except StateError:  # nothing has run yet
        return first
    return first if newest is None else newest.time + timedelta(hours=config.cycle.interval_hours)
