"""What the daemon says of itself to its HTTP side, which is a process of its own: one line of JSON at a time."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

from dacycle.cycler.cycle.records import format_time, parse_time

__all__ = ["STARTING", "STOPPING", "Health", "Word"]

STARTING, STOPPING = "the daemon is starting", "the daemon is stopping"
"""Troubles that pass by themselves."""


@dataclass(frozen=True)
class Word:
    """``trouble``: why no cycle could run now; ``stalled``: why a restart is needed; ``busy``: what it is doing.

    All three are empty when there is nothing to say. ``done`` of ``total`` tells how far the stage is, where it knows.
    ``speed``: seconds of its clock in one of ours; 1 but in the demo.
    """

    now: datetime
    trouble: str = ""
    stalled: str = ""
    busy: str = ""
    done: int = 0
    total: int = 0
    speed: float = 1.0

    def line(self) -> bytes:
        """As it goes through the pipe."""
        return json.dumps({**asdict(self), "now": format_time(self.now)}).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> "Word":
        """The inverse of ``line``."""
        told = json.loads(line)
        return cls(**{**told, "now": parse_time(told["now"])})


class Health(Protocol):
    """Whoever knows how the daemon is."""

    def said(self) -> Word:
        """Its last word; ``now`` is the present time."""
        ...
