"""What a running cycle tells whoever watches: the terminal, the log, the watchdog, a test that kills it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Observer", "Progress", "Stopped", "unobserved"]


@dataclass(frozen=True)
class Progress:
    """``point``: cycle_begin, stage_begin, step, chunk, renamed, recorded, stage_end, cycle_end; ``detail``: of what.

    ``done`` of ``total`` tells how far the stage is, where it knows.
    """

    point: str
    time: datetime
    stream: str
    stage: str = ""
    detail: str = ""
    done: int = 0
    total: int = 0


Observer = Callable[[Progress], None]
"""May raise ``Stopped``: the work ends there, and the next start continues it."""


class Stopped(BaseException):
    """Somebody asked for an end; not an error, and no ``except Exception`` on the way may take it for one."""


def unobserved(progress: Progress) -> None:
    """Nobody watches."""
