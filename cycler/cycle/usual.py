"""What departures from the background usually are, and from where on they are alarming.

Soft limits follow the last 20 days without their extremes; hard ones hold even where those days were bad themselves.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from dacycle.channels import channel
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import format_time

__all__ = ["HARD", "Usual", "usual"]

HARD = {"t": 6.0, "u": 15.0, "v": 15.0, "q": 0.006, "z": 150.0, "sp": 1500.0}
"""Variable -> root mean square of O-B, in the channel's units, that no working cycle comes near (three to four times
what cycles on real soundings show)."""

DAYS = 20
FEWEST = 10  # cycles; fewer say nothing about what is usual
TRIMMED = 0.1  # of the values at either end are extremes
WIDTHS = 5.0  # standard deviations of what is left: 3.3 of a normal distribution's own


@dataclass(frozen=True)
class Usual:
    """Of one channel's O-B: limits of |bias| and rms, in its units."""

    bias: float
    rms: float


def usual(history: History, before: datetime) -> dict[str, Usual]:
    """Soft limits by channel, from the delayed cycles of the 20 days before that time; never above the hard ones."""
    rows = history.query(
        "SELECT d.channel, d.bias, d.rms FROM cycles c CROSS JOIN departures d ON d.cycle = c.id WHERE d.kind = 'omb'"
        " AND c.stream = 'delayed' AND c.state != 'superseded' AND c.time >= ? AND c.time < ?"
        " AND d.bias IS NOT NULL AND d.rms IS NOT NULL",
        format_time(before - timedelta(days=DAYS)),
        format_time(before),
    )
    gathered: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        gathered.setdefault(row["channel"], []).append((abs(row["bias"]), row["rms"]))
    limits = {}
    for name, values in gathered.items():
        if len(values) < FEWEST:
            continue
        hard = HARD[channel(name).variable]
        bias, rms = (min(_limit(np.array(column)), hard) for column in zip(*values, strict=True))
        limits[name] = Usual(bias, rms)
    return limits


def _limit(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    cut = max(1, round(TRIMMED * len(values)))
    core = np.sort(values)[cut:-cut]
    return float(core.mean() + WIDTHS * core.std())
