"""Which analysis times a request can be about: asked by the command, before it enters one, and by the writer."""

from datetime import datetime, timedelta

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.owed import first_time
from dacycle.cycler.cycle.records import parse_time
from dacycle.cycler.cycle.requests import requests
from dacycle.cycler.cycle.states import Stream
from dacycle.errors import ConfigError, StateError

__all__ = ["require_grid", "require_possible"]


def require_grid(config: Config, time: datetime) -> None:
    """ConfigError for what is no analysis time."""
    if not config.on_grid(time):
        hours, near = config.cycle.interval_hours, config.floor(time)
        counted = "" if config.cycle.first is None else f", from [cycle] first = {config.cycle.first:%Y-%m-%dT%H:%M} on"
        expected = f"expected one every {hours} hours{counted}, as {near:%Y-%m-%dT%H}"
        raise ConfigError(f"{time:%Y-%m-%dT%H:%M} is no analysis time: {expected}")


def require_possible(history: History, config: Config, kind: str, time: datetime, now: datetime) -> None:
    """ConfigError or StateError where there is no such cycle, and will be none.

    A cycle that is not there yet can be held or skipped from the first analysis, or the oldest cycle that has run, to
    the last; without a last one as far ahead as the catch-up limit reaches back. Where nothing says yet where cycling
    begins, any time. A cycle that is not there is not run again, and one that is not held is not released.
    """
    require_grid(config, time)
    found, label = history.cycle(time, Stream.DELAYED), f"{time:%Y-%m-%dT%H}"
    if kind == "release":
        asked = (request.kind == "hold" and request.time == time for request in requests(history, waiting=True))
        if not (found is not None and found.held) and not any(asked):
            raise StateError(f"{label} is not held")
        return
    if found is not None:
        return
    if kind == "rerun":
        raise StateError(f"there is no delayed cycle of {label}: nothing to run again")
    if (first := _oldest(history, config)) is None:
        return  # nothing has run, and nothing says yet where cycling begins
    if time < first:
        raise StateError(f"{label} lies before the first cycle, {first:%Y-%m-%dT%H}: there is nothing to {kind}")
    last, days = config.cycle.last, config.cycle.catch_up_limit_days
    if last is not None and time > last:
        raise StateError(f"{label} lies after [cycle] last, {last:%Y-%m-%dT%H}: there is nothing to {kind}")
    if last is None and time > max(now, first) + timedelta(days=days):
        raise StateError(f"{label} lies more than {days:g} days ahead: {kind} it when it is nearer")


def _oldest(history: History, config: Config) -> datetime | None:
    """The first analysis time, or that of an older cycle that has run."""
    sql = "SELECT min(time) AS time FROM cycles WHERE stream = ? AND attempts > 0"
    known = [parse_time(row["time"]) for row in history.query(sql, Stream.DELAYED) if row["time"]]
    first = first_time(history, config, None)
    return min([*known, *([first] if first else [])], default=None)
