"""Noticing that the clock was set: what it says moved otherwise than a steady count of seconds."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

__all__ = ["ClockWatch", "steady_seconds"]

JUMP = timedelta(minutes=5)
CAUTIOUS_SECONDS = 1800.0
"""After a jump nothing is given up for so long: whoever keeps the clock right has time to do so."""


def steady_seconds() -> float:
    """Seconds since the machine started, suspended ones too; no adjustment of the clock moves them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """``steady`` None: nothing is ever noticed."""

    def __init__(self, clock: Callable[[], datetime], steady: Callable[[], float] | None) -> None:
        self._clock, self._steady = clock, steady
        self._last = (clock(), steady()) if steady else None
        self._until: float | None = None

    def look(self) -> timedelta | None:
        """By how much the clock was set since the last look; None where it was not."""
        if self._steady is None or self._last is None:
            return None
        then, seconds = self._last
        self._last = self._clock(), self._steady()
        jump = (self._last[0] - then) - timedelta(seconds=round(self._last[1] - seconds))
        if abs(jump) < JUMP:
            return None
        self._until = self._last[1] + CAUTIOUS_SECONDS
        return jump

    @property
    def recent(self) -> bool:
        """Whether the clock was set a short while ago."""
        return self._until is not None and self._steady is not None and self._steady() < self._until
