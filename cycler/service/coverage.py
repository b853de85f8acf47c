"""Which stations reported, and how completely: the classes that WMO's data quality monitoring (WDQMS) shows.

A station is ``complete`` when it sent every variable at every level that the network sends, lacks a ``layer`` or a
whole ``variable``, had everything ``rejected``, or was ``silent`` although it reports at this hour of the day.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from dacycle.channels import channel
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import CycleRecord, Departure, format_time
from dacycle.cycler.cycle.report import finite
from dacycle.cycler.cycle.stations import station_series, stations
from dacycle.cycler.products.folders import product_folder
from dacycle.cycler.products.observations import ObservationTable, read_observations
from dacycle.errors import ProductError
from dacycle.obs.batch import Quality

__all__ = ["CLASSES", "coverage_json", "station_json"]

CLASSES = ("complete", "layer", "variable", "rejected", "silent")
DAYS = 30
COMMON = 0.05
"""What fewer of the stations send than this share is no part of a complete report."""


@dataclass(frozen=True)
class _Report:
    lat: float
    lon: float
    pairs: frozenset[tuple[str, int]]
    used: int
    withheld: int
    rejected: int


def coverage_json(config: Config, history: History, record: CycleRecord) -> dict[str, Any]:
    """Every station of the cycle and of the 30 days before it."""
    reports = _reports(_table(config, record))
    summaries = {s.station: s for s in stations(history, DAYS, record.time)}
    common, usual = _common(reports), _heard_at(history, record.time)
    told = []
    for name in sorted({*reports, *summaries}):
        report, summary = reports.get(name), summaries.get(name)
        if report is None and name not in usual:
            continue
        seen = report or summary
        if seen is None or seen.lat is None or seen.lon is None:
            continue
        told.append(
            {
                "station": name,
                "lat": round(seen.lat, 3),
                "lon": round(seen.lon, 3),
                "class": _classify(report, common),
                "used": report.used if report else 0,
                "withheld": report.withheld if report else 0,
                "rejected": report.rejected if report else 0,
                "received": summary.received if summary else None,
                "expected": summary.expected if summary else None,
                "omb": _overall(summary.omb) if summary else None,
                "blacklisted": sorted(summary.blacklisted) if summary else [],
            }
        )
    return {"time": format_time(record.time), "days": DAYS, "stations": told}


def station_json(config: Config, history: History, record: CycleRecord, station: str) -> dict[str, Any] | None:
    """One station: its 30 days, and its values in the newest analysis; None where nothing is known of it."""
    series = station_series(history, station, DAYS, record.time)
    table = _table(config, record)
    rows: list[int] = np.flatnonzero(table.batch.station == station).tolist() if table is not None else []
    if not rows and all(entry.record is None for entry in series):
        return None
    variables = sorted({v for entry in series if entry.record for v in (*entry.record.omb, *entry.record.oma)})
    cycles = [
        {
            "time": format_time(entry.time),
            "received": entry.record.received if entry.record else 0,
            "used": entry.record.used if entry.record else 0,
            "withheld": entry.record.withheld if entry.record else 0,
            "rejected": entry.record.rejected if entry.record else 0,
            "omb": _departures(entry.record.omb) if entry.record else {},
            "oma": _departures(entry.record.oma) if entry.record else {},
        }
        for entry in series
    ]
    values = [_value(table, row) for row in rows] if table is not None else []
    return {
        "station": station,
        "time": format_time(record.time),
        "days": DAYS,
        "variables": variables,
        "cycles": cycles,
        "values": values,
    }


def _value(table: ObservationTable, row: int) -> dict[str, Any]:
    batch = table.batch
    value = float(batch.value[row])
    quality = Quality(int(batch.quality[row]))
    return {
        "channel": str(batch.channel[row]),
        "value": finite(value),
        "units": channel(str(batch.channel[row])).units,
        "omb": finite(value - float(table.background_mean[row])),
        "oma": finite(value - float(table.analysis_mean[row])),
        "sigma": finite(float(batch.sigma[row])),
        "fate": {Quality.ASSIMILATED: "used", Quality.EVALUATED_ONLY: "withheld"}.get(quality, quality.reason),
    }


def _departures(by_variable: dict[str, Departure]) -> dict[str, dict[str, float | None]]:
    return {name: {"n": d.n, "bias": finite(d.bias), "rms": finite(d.rms)} for name, d in by_variable.items()}


def _table(config: Config, record: CycleRecord) -> ObservationTable | None:
    path = product_folder(config.paths.state, record.time, str(record.stream)) / "observations.nc"
    try:
        return read_observations(path) if path.is_file() else None
    except ProductError:  # being replaced just now, or damaged: the map then shows the history alone
        return None


def _reports(table: ObservationTable | None) -> dict[str, _Report]:
    if table is None or not len(table.batch):
        return {}
    batch = table.batch
    pair = {name: (channel(name).variable, channel(name).level_hpa) for name in np.unique(batch.channel).tolist()}
    order = np.argsort(batch.station, kind="stable")
    names, starts = np.unique(batch.station[order], return_index=True)
    reports = {}
    for name, rows in zip(names.tolist(), np.split(order, starts[1:]), strict=True):
        quality = batch.quality[rows]
        used, withheld = int((quality == Quality.ASSIMILATED).sum()), int((quality == Quality.EVALUATED_ONLY).sum())
        sent = {pair[c] for c in batch.channel[rows].tolist()}
        reports[name] = _Report(
            float(batch.lat[rows[0]]),
            float(batch.lon[rows[0]]),
            frozenset((variable, level) for variable, level in sent if level is not None),
            used,
            withheld,
            len(rows) - used - withheld,
        )
    return reports


def _common(reports: dict[str, _Report]) -> frozenset[tuple[str, int]]:
    everything = {pair for report in reports.values() for pair in report.pairs}
    fewest = COMMON * len(reports)
    return frozenset(pair for pair in everything if sum(pair in r.pairs for r in reports.values()) >= fewest)


def _classify(report: _Report | None, common: frozenset[tuple[str, int]]) -> str:
    if report is None:
        return "silent"
    if report.used + report.withheld == 0:
        return "rejected"
    if {variable for variable, _ in common} - {variable for variable, _ in report.pairs}:
        return "variable"
    return "layer" if common - report.pairs else "complete"


def _heard_at(history: History, time: datetime) -> set[str]:
    """Stations that reported at this hour of the day in the period."""
    rows = history.query(
        "SELECT DISTINCT s.station FROM cycles c CROSS JOIN station_history s ON s.cycle = c.id"
        " WHERE c.stream = 'delayed' AND c.time > ? AND c.time <= ? AND substr(c.time, 12, 2) = ?",
        format_time(time - timedelta(days=DAYS)),
        format_time(time),
        f"{time:%H}",
    )
    return {row["station"] for row in rows}


def _overall(by_variable: dict[str, Departure]) -> float | None:
    """Root mean square over all variables, in expected errors: 1 is right."""
    n = sum(d.n for d in by_variable.values())
    return round(math.sqrt(sum(d.n * d.rms**2 for d in by_variable.values()) / n), 3) if n else None
