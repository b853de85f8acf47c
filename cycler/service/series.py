"""How a channel's departures and spread went, cycle by cycle, in columns."""

from datetime import datetime, timedelta
from typing import Any

from dacycle.channels import channel
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.ranks import rank_histogram
from dacycle.cycler.cycle.records import format_time
from dacycle.cycler.cycle.states import Stream
from dacycle.cycler.cycle.usual import usual

__all__ = ["channels", "ranks_json", "series_json"]


def channels(history: History) -> list[str]:
    """Channels that any of the newest cycles has departures of, in the order of the newest."""
    rows = history.query(
        "SELECT channel FROM departures WHERE cycle ="
        " (SELECT d.cycle FROM departures d JOIN cycles c ON c.id = d.cycle WHERE c.stream = 'delayed'"
        " ORDER BY c.time DESC LIMIT 1) AND kind = 'oma' ORDER BY rowid"
    )
    return [row["channel"] for row in rows]


def series_json(history: History, name: str, days: int) -> dict[str, Any]:
    """The delayed cycles of the last ``days`` before the newest; seconds since 1970, null where there is no value."""
    described = channel(name)
    until = _newest(history)
    columns: dict[str, list[float | None]] = {
        key: [] for key in ("time", "n", "omb_bias", "omb_rms", "oma_bias", "oma_rms", "spread_skill")
    }
    told: dict[str, Any] = {"channel": name, "long_name": described.long_name, "units": described.units, **columns}
    if until is None:
        return told | {"limit": None}
    rows = history.query(
        "SELECT c.time, a.n, b.bias AS omb_bias, b.rms AS omb_rms, a.bias AS oma_bias, a.rms AS oma_rms,"
        " s.ratio AS spread_skill FROM cycles c"
        " LEFT JOIN departures a ON a.cycle = c.id AND a.kind = 'oma' AND a.channel = ?1"
        " LEFT JOIN departures b ON b.cycle = c.id AND b.kind = 'omb' AND b.channel = ?1"
        " LEFT JOIN spread_skill s ON s.cycle = c.id AND s.channel = ?1"
        " WHERE c.stream = 'delayed' AND c.state IN ('published', 'published_free_forecast')"
        " AND c.time >= ?2 ORDER BY c.time",
        name,
        format_time(until - timedelta(days=days)),
    )
    for row in rows:
        told["time"].append(int(datetime.fromisoformat(row["time"]).timestamp()))
        for key in columns:
            if key != "time":
                told[key].append(row[key] if row[key] is None else _short(row[key]))
    limit = usual(history, until).get(name)
    told["limit"] = None if limit is None else {"bias": _short(limit.bias), "rms": _short(limit.rms)}
    return told


def ranks_json(history: History, days: int) -> dict[str, Any]:
    """Rank histograms by channel over the same period."""
    until = _newest(history)
    counts = {} if until is None else rank_histogram(history, until - timedelta(days=days), until)
    return {"ranks": counts}


def _newest(history: History) -> datetime | None:
    record = history.newest_published(Stream.DELAYED)
    return record.time if record else None


def _short(value: float) -> float:
    return float(f"{value:.5g}")
