"""Stations that the analysis does without for a while, variable by variable, decided from their own O-B history.

At each delayed cycle, from the departures of the fortnight before it and nothing else, so that a cycle run again
decides as it did: a station is listed whose mean departure differs from that of the stations around it, or whose
departures scatter, by far more than expected. Compared with its neighbours, because a background has biases of its
own, and a region of them is no station's fault. A listing ends after ten days; what its values were like meanwhile is
known, for they are still compared, and decides whether another follows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from dacycle.channels import channel
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import Listing, format_time
from dacycle.obs.batch import ObservationBatch, Quality

__all__ = ["apply", "decide"]

WINDOW = timedelta(days=14)
TERM = timedelta(days=10)
CYCLES = 8
"""With departures, before anything is said of a station."""
BIAS = 2.0
SCATTER = 3.0
"""Both in expected errors; the scatter beyond what is typical of the network, where that is more than one."""
NEIGHBOURS = 8
LARGEST_SHARE = 0.1
"""Of the stations: beyond that it is the background that is at fault, and nobody is listed."""


@dataclass(frozen=True)
class _Past:
    """A station's departures in one variable over the window."""

    station: str
    place: tuple[float, float]
    mean: float
    scatter: float


def decide(history: History, time: datetime) -> tuple[list[Listing], str]:
    """The listings that begin at ``time``, and a warning, empty unless suspiciously many stations stood out."""
    since, until = format_time(time - WINDOW), format_time(time - timedelta(seconds=1))
    serving = {(listing.station, listing.variable) for listing in history.blacklist(time) if listing.since < time}
    found: list[Listing] = []
    warnings = []
    for variable, pasts in _pasts(history, since, until).items():
        reasons = _reasons(pasts)
        if len(reasons) > max(LARGEST_SHARE * len(pasts), 1):
            text = f"{len(reasons)} of {len(pasts)} stations stand out in {variable}: the background is, not they are"
            warnings.append(f"{text}, at fault; none is blacklisted")
            continue
        found += [
            Listing(station, variable, time, time + TERM, reason)
            for station, reason in sorted(reasons.items())
            if (station, variable) not in serving
        ]
    return found, "; ".join(warnings)


def _pasts(history: History, since: str, until: str) -> dict[str, list[_Past]]:
    """By variable, every station with enough of a past."""
    sql = (
        "SELECT d.station, d.variable, h.lat, h.lon, max(c.time), sum(d.n * d.mean) / sum(d.n) AS mean,"
        " sum(d.n * d.square) / sum(d.n) AS square"
        " FROM station_departures d JOIN cycles c ON c.id = d.cycle"
        " JOIN station_history h ON h.cycle = d.cycle AND h.station = d.station"
        " WHERE c.stream = 'delayed' AND c.state != 'superseded' AND c.time BETWEEN ? AND ? AND d.kind = 'omb'"
        " GROUP BY 1, 2 HAVING count(*) >= ? AND h.lat IS NOT NULL ORDER BY 1, 2"
    )
    told: dict[str, list[_Past]] = {}
    for row in history.query(sql, since, until, CYCLES):
        scatter = max(row["square"] - row["mean"] ** 2, 0.0) ** 0.5
        past = _Past(row["station"], (row["lat"], row["lon"]), row["mean"], scatter)
        told.setdefault(row["variable"], []).append(past)
    return told


def _reasons(pasts: Sequence[_Past]) -> dict[str, str]:
    """Why each station that stands out does."""
    means, scatters = np.array([p.mean for p in pasts]), np.array([p.scatter for p in pasts])
    away = means - _around(np.array([p.place for p in pasts]), means)
    allowed = SCATTER * max(1.0, float(np.median(scatters)))
    reasons = {}
    for past, bias, scatter in zip(pasts, away.tolist(), scatters.tolist(), strict=True):
        if abs(bias) > BIAS:
            reasons[past.station] = f"bias of {bias:+.1f} expected errors against its neighbours"
        elif scatter > allowed:
            reasons[past.station] = f"scatter of {scatter:.1f} expected errors"
    return reasons


def _around(places: npt.NDArray[np.float64], means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(s,): the median of the nearest other stations' means; zero where there are no others."""
    if len(means) < 2:
        return np.zeros(len(means))
    phi, lam = np.deg2rad(places).T
    xyz = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    closeness = xyz @ xyz.T
    np.fill_diagonal(closeness, -2.0)
    near = np.argsort(-closeness, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(means) - 1)]
    return np.asarray(np.median(means[near], axis=1))


def apply(batch: ObservationBatch, listings: Iterable[Listing]) -> ObservationBatch:
    """BLACKLISTED for the values of listed stations in the listed variables; wind falls with either component."""
    listed = {(listing.station, listing.variable) for listing in listings}
    listed |= {(station, other) for station, variable in listed if variable in "uv" for other in "uv"}
    if not listed:
        return batch
    variables = {name: channel(name).variable for name in np.unique(batch.channel).tolist()}
    rows = zip(batch.station.tolist(), batch.channel.tolist(), strict=True)
    marked = np.array([(station, variables[name]) in listed for station, name in rows], np.bool_)
    return batch.mark(marked, Quality.BLACKLISTED)
