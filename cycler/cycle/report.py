"""What the ledger says, as the JSON of ``dacycle status`` and of the API."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.owed import SOURCE_NEWEST, next_due
from dacycle.cycler.cycle.records import Counts, CycleRecord, Departure, StageRecord, Statistics, format_time

__all__ = ["cycles_json", "finite", "status_json"]


def finite(value: float | None) -> float | None:
    """JSON knows no NaN: what is not a number becomes null."""
    return None if value is None or not math.isfinite(value) else value


def cycles_json(history: History, records: Sequence[CycleRecord]) -> list[dict[str, Any]]:
    """Cycles, as the contract has them, and what an operator asks next: why, which version, how many tries."""
    ids = [record.id for record in records]
    adapted = history.all_covariances(ids)
    stages, counts, statistics = history.all_stages(ids), history.all_counts(records), history.all_statistics(ids)
    return [
        {**_cycle_json(r, stages[r.id], counts[r.id], statistics[r.id]), "covariances": adapted[r.id] or None}
        for r in records
    ]


def _cycle_json(
    record: CycleRecord, stages: Mapping[str, StageRecord], counts: Counts, statistics: Statistics
) -> dict[str, Any]:
    return {
        "time": format_time(record.time),
        "stream": str(record.stream),
        "state": str(record.state),
        "background": record.background,
        "stages": {name: finite(stage.seconds) for name, stage in stages.items()},
        "soundings": {"received": counts.received, "used": counts.used, "withheld": counts.withheld},
        "values": {"used": counts.total("used"), "withheld": counts.total("withheld"), "rejected": counts.rejected},
        "omb": _departures(statistics.omb),
        "oma": _departures(statistics.oma),
        "spread_skill": {name: finite(ratio) for name, ratio in statistics.spread_skill.items()},
        "reason": record.reason,
        "held": record.held,
        "version": record.version,
        "attempts": record.attempts,
    }


def _departures(by_channel: Mapping[str, Departure]) -> dict[str, dict[str, float | None]]:
    return {name: {"n": d.n, "bias": finite(d.bias), "rms": finite(d.rms)} for name, d in by_channel.items()}


def status_json(history: History, config: Config, now: datetime, newest: int | None = None) -> dict[str, Any]:
    """The whole status; ``newest`` leaves only so many cycles."""
    source = history.time_note(SOURCE_NEWEST)
    due = next_due(history, config)
    return {
        "cycles": cycles_json(history, history.cycles(newest=newest)),
        "next_due": format_time(due) if due else None,
        "source_age_seconds": (now - source).total_seconds() if source else None,
    }
