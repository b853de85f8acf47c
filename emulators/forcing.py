"""Insolation at the top of the atmosphere by date: what drives the seasons and the day.

Orbit after Spencer (1971, Search 2, 172): Fourier series of the day angle for declination, distance and equation of
time, good to about 0.0006 rad, 0.01 % and 35 s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from dacycle.emulators.grid import Grid

__all__ = ["SOLAR_CONSTANT", "InsolationTable", "Orbit", "daily_insolation", "insolation_by_name", "instant_insolation"]

Field = npt.NDArray[np.float32]
SOLAR_CONSTANT = 1361.0  # W m-2, Kopp and Lean (2011)


@dataclass(frozen=True)
class Orbit:
    """``declination`` of the sun (rad), ``irradiance`` at its distance (W m-2), ``equation_of_time`` (rad)."""

    declination: float
    irradiance: float
    equation_of_time: float


def orbit(time: datetime) -> Orbit:
    """The sun as seen at ``time`` (aware UTC)."""
    year_start = datetime(time.year, 1, 1, tzinfo=UTC)
    year_length = datetime(time.year + 1, 1, 1, tzinfo=UTC) - year_start
    angle = 2 * np.pi * ((time - year_start) / year_length)
    cosine, sine = np.cos(angle * np.arange(4)), np.sin(angle * np.arange(4))
    declination = cosine @ [0.006918, -0.399912, -0.006758, -0.002697] + sine @ [0, 0.070257, 0.000907, 0.00148]
    distance = cosine[:3] @ [1.00011, 0.034221, 0.000719] + sine[:3] @ [0, 0.00128, 0.000077]
    equation = cosine[:3] @ [0.000075, 0.001868, -0.014615] + sine[:3] @ [0, -0.032077, -0.040849]
    return Orbit(float(declination), SOLAR_CONSTANT * float(distance), float(equation))


def daily_insolation(grid: Grid, time: datetime) -> Field:
    """Mean over the day (nlat, nlon), W m-2: S (h sin a sin d + cos a cos d sin h) / pi, h the half day's angle."""
    sun, latitude = orbit(time), np.deg2rad(grid.lat)
    vertical = np.sin(latitude) * np.sin(sun.declination)
    horizontal = np.cos(latitude) * np.cos(sun.declination)
    half_day = np.arccos(np.clip(-vertical / horizontal, -1.0, 1.0))
    zonal = sun.irradiance / np.pi * (half_day * vertical + horizontal * np.sin(half_day))
    return np.repeat(zonal[:, None], len(grid.lon), 1).astype(np.float32)


def instant_insolation(grid: Grid, time: datetime) -> Field:
    """At the instant (nlat, nlon), W m-2: S times the cosine of the zenith angle where the sun is up, else 0."""
    sun, latitude = orbit(time), np.deg2rad(grid.lat)[:, None]
    hours = time.hour + time.minute / 60 + time.second / 3600
    hour_angle = np.deg2rad(15.0 * (hours - 12.0) + grid.lon) + sun.equation_of_time
    zenith = np.sin(latitude) * np.sin(sun.declination) + np.cos(latitude) * np.cos(sun.declination) * np.cos(
        hour_angle
    )
    return np.asarray(sun.irradiance * np.clip(zenith, 0.0, None), dtype=np.float32)


@dataclass(frozen=True)
class InsolationTable:
    """A repeating year of 6-hourly fields (steps, nlat, nlon) from 1 January on, as the published LUCIE uses it."""

    fields: Field

    def __call__(self, grid: Grid, time: datetime) -> Field:
        """The entry of the step that contains ``time``."""
        hours = (time - datetime(time.year, 1, 1, tzinfo=UTC)).total_seconds() / 3600.0
        entry: Field = self.fields[int(hours // 6) % len(self.fields)]
        return entry


def insolation_by_name(name: str) -> Callable[[Grid, datetime], Field]:
    """``daily`` or ``instantaneous``; ValueError for another name."""
    functions = {"daily": daily_insolation, "instantaneous": instant_insolation}
    if name not in functions:
        raise ValueError(f"unknown insolation {name!r}; expected one of {sorted(functions)}")
    return functions[name]
