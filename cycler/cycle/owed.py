"""Which cycles are owed: decided from the ledger, the source and ``now``; the scheduler only asks.

A delayed cycle is due at its cut-off, or when the source covers its time, whichever is later, but not after the last
cut-off. What has been due for longer than the catch-up limit expires, except the first cycle of all, what an operator
asked to be run, and a held cycle with all that waits behind it: not yet does not mean never. Beyond that limit
after the newest sounding nothing is owed: so old a forecast says nothing, and an archive of the past has an end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.states import Stream

__all__ = [
    "FIRST",
    "SOURCE_NEWEST",
    "SOURCE_SEEN",
    "SOURCE_TROUBLE",
    "Owed",
    "complete",
    "first_time",
    "lag",
    "next_due",
    "next_time",
    "owed_delayed",
    "stale_before",
    "stale_delayed",
]

FIRST = "first"  # notes in the ledger
SOURCE_NEWEST, SOURCE_SEEN = "source_newest", "source_seen"
SOURCE_TROUBLE = "the source cannot be read: "  # how the log's line about it begins


@dataclass(frozen=True)
class Owed:
    """A delayed cycle that may run now; ``last_call``: past the last cut-off, so that it goes on without soundings."""

    time: datetime
    last_call: bool


def first_time(history: History, config: Config, newest: datetime | None) -> datetime | None:
    """Where cycling begins: as configured, as decided before, or the newest time that the source covers."""
    return config.cycle.first or history.time_note(FIRST) or (config.floor(newest) if newest else None)


def due_time(config: Config, time: datetime) -> datetime:
    """When the delayed cycle's cut-off falls."""
    return time + timedelta(hours=config.cycle.cutoff_hours)


def horizon(config: Config, first: datetime, newest: datetime | None) -> datetime:
    """How far the delayed stream goes without further soundings, and not past the last time that is asked for."""
    known = first if newest is None else max(first, newest)
    end = known + timedelta(days=config.cycle.catch_up_limit_days)
    return end if config.cycle.last is None else min(end, config.cycle.last)


def stale_delayed(
    history: History, config: Config, first: datetime, newest: datetime | None, now: datetime
) -> list[datetime]:
    """Unfinished delayed times that are too old to be caught up with, oldest first; never the first of all."""
    late = stale_before(config, now)
    # A cycle is not stale while the rules still allow it to wait for its soundings.
    waited = now - timedelta(hours=config.cycle.cutoff_max_hours) - config.interval
    until = min(late, waited, horizon(config, first, newest))
    held = {record.time for record in history.left_open() if record.held}
    asked = {record.time for record in history.to_rerun()}
    unfinished = takewhile(lambda time: time not in held, _unfinished(history, config, first, until))
    return [time for time in unfinished if first < time < late and time not in asked]


def stale_before(config: Config, now: datetime) -> datetime:
    """Delayed times before this one have been due for longer than the catch-up limit."""
    return now - timedelta(days=config.cycle.catch_up_limit_days, hours=config.cycle.cutoff_hours)


def owed_delayed(
    history: History, config: Config, first: datetime, newest: datetime | None, now: datetime
) -> Owed | None:
    """The oldest delayed cycle, if it may run now; later ones wait for it, for they start from it."""
    oldest = next(_unfinished(history, config, first, min(now, horizon(config, first, newest))), None)
    if oldest is None:
        return None
    record = history.cycle(oldest, Stream.DELAYED)
    if record is not None and record.held:
        return None
    last_call = now >= oldest + timedelta(hours=config.cycle.cutoff_max_hours)
    covered = newest is not None and newest >= oldest
    if last_call or (covered and now >= due_time(config, oldest)):
        return Owed(oldest, last_call)
    return None


def next_due(history: History, config: Config) -> datetime | None:
    """When the next delayed cycle's cut-off falls; None where there is no next one."""
    time = next_time(history, config)
    return None if time is None else due_time(config, time)


def next_time(history: History, config: Config) -> datetime | None:
    """The analysis time of the next delayed cycle; None while nothing says where to begin, and after the last one."""
    first = first_time(history, config, None)
    newest = history.cycles(Stream.DELAYED, newest=1)
    if first is None and not newest:
        return None
    horizon = newest[-1].time if newest else first
    start = first or newest[0].time
    assert horizon is not None
    upcoming = next(_unfinished(history, config, start, horizon + config.interval), None)
    time = upcoming if upcoming is not None else horizon + config.interval
    return None if config.cycle.last is not None and time > config.cycle.last else time


def complete(history: History, config: Config) -> bool:
    """Whether the period that was asked for has come to its end: nothing more will be due."""
    last = config.cycle.last
    if last is None or (first := first_time(history, config, None)) is None:
        return False
    return next(_unfinished(history, config, first, last), None) is None


def _unfinished(history: History, config: Config, first: datetime, until: datetime) -> Iterator[datetime]:
    """Analysis times from the first to ``until`` whose delayed cycle has not ended, oldest first."""
    ended = history.ended(Stream.DELAYED, since=first, until=until)
    time = first
    if ended and ended[-1] - first == (len(ended) - 1) * config.interval:
        time = ended[-1] + config.interval  # no gap, as nearly always: years of history cost nothing
        ended = []
    known = set(ended)
    while time <= until:
        if time not in known:
            yield time
        time += config.interval


def lag(history: History, config: Config, now: datetime) -> timedelta:
    """How long the next delayed cycle has been due; nothing while it is not."""
    due = next_due(history, config)
    return max(now - due, timedelta(0)) if due is not None else timedelta(0)
