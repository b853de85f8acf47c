"""What tests of the worker share: a made-up clock, an engine on the small world, and what the ledger says."""

from collections.abc import Callable
from datetime import datetime

from dacycle.cycler.cycle.engine import Engine
from dacycle.cycler.cycle.states import State, Stream
from tests.cycle.small_world import START

__all__ = ["Clock", "Open", "delayed", "texts", "versions"]

Open = Callable[..., Engine]


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def _hour(time: datetime) -> int:
    return int((time - START).total_seconds()) // 3600


def delayed(engine: Engine) -> dict[int, State]:
    """Hours after the start -> state of the delayed cycle."""
    return {_hour(r.time): r.state for r in engine.ledger.cycles(Stream.DELAYED)}


def versions(engine: Engine) -> dict[int, list[State]]:
    """Hours after the start -> states of all versions of the delayed cycle, in order."""
    found: dict[int, list[State]] = {}
    for record in engine.ledger.cycles(Stream.DELAYED, superseded=True):
        found.setdefault(_hour(record.time), []).append(record.state)
    return found


def texts(engine: Engine) -> list[str]:
    """The log, newest first."""
    return [event.text for event in engine.ledger.events()]
