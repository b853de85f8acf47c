"""What each station gave, cycle by cycle: soundings, what became of their values, departures from both models.

Departures are in units of the expected error, so that levels can be taken together: O-B over
sqrt(sigma_o^2 + (N+1)/N s^2), with s the ensemble's spread at the value, and O-A over sigma_o. O-B is taken over
everything that passed the checks of its own sounding, also what was then rejected or blacklisted (else a station that
mended could never be told from one that did not), and limited to ten either way, so that one gross error is not all
that is seen. O-A is over the values used.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from dacycle.channels import channel
from dacycle.cycler.cycle.arrivals import Arrived
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import Departure, StationRecord, format_time, parse_time
from dacycle.cycler.cycle.states import Stream
from dacycle.obs.batch import ObservationBatch, Quality

__all__ = ["StationCycle", "StationSummary", "station_records", "station_series", "stations"]

FloatArray = npt.NDArray[np.floating]

COMPARED = (
    Quality.ASSIMILATED,
    Quality.EVALUATED_ONLY,
    Quality.BACKGROUND,
    Quality.BUDDY,
    Quality.BLACKLISTED,
    Quality.THINNED,
)
LARGEST = 10.0


def station_records(
    batch: ObservationBatch, arrived: Sequence[Arrived], background: FloatArray | None, analysis: FloatArray
) -> list[StationRecord]:
    """One record per station with a sounding; ``background`` and ``analysis`` (members, n): equivalents."""
    position = {sounding.station: (sounding.lat, sounding.lon) for sounding in arrived}
    received = Counter(sounding.station for sounding in arrived)
    omb: dict[str, dict[str, Departure]] = {}
    if background is not None:
        members = len(background)
        spread = background.var(0, ddof=1, dtype=np.float64) * (members + 1) / members if members > 1 else 0.0
        compared = np.isin(batch.quality, COMPARED)
        omb = _departures(batch, compared, background, np.sqrt(batch.sigma**2 + spread))
    oma = _departures(batch, batch.quality == Quality.ASSIMILATED, analysis, batch.sigma)
    fates: dict[str, Counter[str]] = defaultdict(Counter)
    codes = {int(Quality.ASSIMILATED): "used", int(Quality.EVALUATED_ONLY): "withheld"}
    for station, code in zip(batch.station.tolist(), batch.quality.tolist(), strict=True):
        fates[station][codes.get(code, "rejected")] += 1
    return [
        StationRecord(
            station,
            *position[station],
            received=received[station],
            used=fates[station]["used"],
            withheld=fates[station]["withheld"],
            rejected=fates[station]["rejected"],
            omb=omb.get(station, {}),
            oma=oma.get(station, {}),
        )
        for station in sorted(received)
    ]


def _departures(
    batch: ObservationBatch, chosen: npt.NDArray[np.bool_], members: FloatArray, expected: npt.NDArray[np.float64]
) -> dict[str, dict[str, Departure]]:
    """By station and variable: the chosen values minus the mean of ``members``, over ``expected``."""
    ratio = np.clip((batch.value - members.mean(0, dtype=np.float64)) / expected, -LARGEST, LARGEST)
    rows = np.flatnonzero(chosen & np.isfinite(ratio))
    if not len(rows):
        return {}
    names, place = np.unique(batch.channel[rows], return_inverse=True)
    variables, of_name = np.unique([channel(name).variable for name in names.tolist()], return_inverse=True)
    known, station = np.unique(batch.station[rows], return_inverse=True)
    group = station * len(variables) + of_name[place]
    size = len(known) * len(variables)
    n = np.bincount(group, minlength=size)
    total = np.bincount(group, ratio[rows], size)
    square = np.bincount(group, ratio[rows] ** 2, size)
    told: dict[str, dict[str, Departure]] = {}
    for k in np.flatnonzero(n).tolist():
        own = told.setdefault(str(known[k // len(variables)]), {})
        own[str(variables[k % len(variables)])] = Departure(
            int(n[k]), float(total[k] / n[k]), float(np.sqrt(square[k] / n[k]))
        )
    return told


@dataclass(frozen=True)
class StationSummary:
    """A station over a period. Counts of soundings and of values; departures by variable, in expected errors.

    ``expected``: soundings at the hours of the day at which it reports at all, from its first in the period on;
    ``last``: the analysis time of its newest; ``blacklisted``: variable -> until when, as of the period's end.
    """

    station: str
    lat: float | None
    lon: float | None
    received: int
    expected: int
    used: int
    withheld: int
    rejected: int
    omb: dict[str, Departure]
    oma: dict[str, Departure]
    last: datetime
    blacklisted: dict[str, datetime]


@dataclass(frozen=True)
class StationCycle:
    """One delayed cycle as a station saw it; ``record`` is None where nothing of the station came."""

    time: datetime
    record: StationRecord | None


def _period(history: History, days: float, now: datetime) -> list[datetime]:
    """Analysis times of the delayed cycles in the last ``days`` before the newest published one not after ``now``."""
    newest = history.newest_published(Stream.DELAYED)
    if newest is None:
        return []
    until = min(newest.time, now)
    return history.published(Stream.DELAYED, until - timedelta(days=days), until)


def stations(history: History, days: float, now: datetime) -> list[StationSummary]:
    """Every station that sent a sounding in the last ``days`` of delayed cycles up to ``now``, by ID.

    The days count back from the newest published cycle: an archive of the past has a history too.
    """
    times = _period(history, days, now)
    if not times:
        return []
    span = format_time(times[0]), format_time(times[-1])
    joined = (
        "JOIN cycles c ON c.id = s.cycle WHERE c.stream = 'delayed' AND c.state != 'superseded'"
        " AND c.time BETWEEN ? AND ?"
    )
    heard: dict[str, list[datetime]] = {}
    for row in history.query(f"SELECT s.station, c.time FROM station_history s {joined} ORDER BY c.time", *span):
        heard.setdefault(row["station"], []).append(parse_time(row["time"]))
    departures: dict[tuple[str, str], dict[str, Departure]] = {}
    sql = (
        "SELECT s.station, s.kind, s.variable, sum(s.n) AS n, sum(s.n * s.mean) / sum(s.n) AS mean,"
        f" sum(s.n * s.square) / sum(s.n) AS square FROM station_departures s {joined} GROUP BY 1, 2, 3"
    )
    for row in history.query(sql, *span):
        by_variable = departures.setdefault((row["station"], row["kind"]), {})
        by_variable[row["variable"]] = Departure(row["n"], row["mean"], row["square"] ** 0.5)
    listed: dict[str, dict[str, datetime]] = {}
    for entry in history.query("SELECT * FROM blacklist WHERE since <= ?1 AND until > ?1", span[1]):
        listed.setdefault(entry["station"], {})[entry["variable"]] = parse_time(entry["until"])
    sql = (
        "SELECT s.station, s.lat, s.lon, sum(s.received) AS received, sum(s.used) AS used,"
        " sum(s.withheld) AS withheld, sum(s.rejected) AS rejected, max(c.time) AS last"  # lat, lon: of the last
        f" FROM station_history s {joined} GROUP BY 1 ORDER BY 1"
    )
    return [
        StationSummary(
            station=row["station"],
            lat=row["lat"],
            lon=row["lon"],
            received=row["received"],
            expected=_expected(times, heard[row["station"]]),
            used=row["used"],
            withheld=row["withheld"],
            rejected=row["rejected"],
            omb=departures.get((row["station"], "omb"), {}),
            oma=departures.get((row["station"], "oma"), {}),
            last=parse_time(row["last"]),
            blacklisted=listed.get(row["station"], {}),
        )
        for row in history.query(sql, *span)
    ]


def _expected(times: Sequence[datetime], heard: Sequence[datetime]) -> int:
    hours = {time.hour for time in heard}
    return sum(time.hour in hours for time in times if time >= heard[0])


def station_series(history: History, station: str, days: float, now: datetime) -> list[StationCycle]:
    """The station's record in each of the last ``days`` of delayed cycles up to ``now``, oldest first."""
    times = _period(history, days, now)
    if not times:
        return []
    records = history.station_records(station, times[0], times[-1])
    return [StationCycle(time, records.get(time)) for time in times]
