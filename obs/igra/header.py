"""Header lines of IGRA v2.2 -> reports.

Columns from 1: # 1 | ID 2-12 | YEAR 14-17 | MONTH 19-20 | DAY 22-23 | HOUR 25-26 (99 missing) | RELTIME 28-31
(HHMM, HH99 when the hour alone is known, 9999 missing) | NUMLEV 33-36 | P_SRC 38-45 | NP_SRC 47-54 | LAT 56-62 |
LON 64-71 (degrees x 1e4; -9999 missing, -98.8888 and -998.8888 degrees for a mobile station without position).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dacycle.obs.igra.columns import SPACE, Bytes, Lines, Mask, blank, characters, integer, text_matrix, trailing
from dacycle.obs.soundings import MISSING, Reports

__all__ = ["HEADER_WIDTH", "Headers", "read_headers", "read_times"]

HEADER_WIDTH = 71
MOBILE_LAT, MOBILE_LON = -988888, -9988888
_BLANKS = (13, 18, 21, 24, 27, 32, 37, 46, 55, 63)
_HALF_DAY = np.timedelta64(720, "m")
_DAY = np.timedelta64(1440, "m")
_NEVER = np.datetime64("NaT", "m")


@dataclass(frozen=True)
class Times:
    """nominal (datetime64[h], NaT for HOUR 99), release (datetime64[m], NaT when unknown), RELTIME as written.

    ``dated``: the date and the hour are readable; ``released``: RELTIME is a time or says that it is missing.
    """

    nominal: npt.NDArray[np.datetime64]
    release: npt.NDArray[np.datetime64]
    reltime: npt.NDArray[np.int32]
    dated: Mask
    released: Mask

    @property
    def reference(self) -> npt.NDArray[np.datetime64]:
        """Nominal, else release time, datetime64[m]; NaT where neither is known."""
        nominal = self.nominal.astype("datetime64[m]")
        return np.asarray(np.where(np.isnat(nominal), self.release, nominal))


@dataclass(frozen=True)
class Headers:
    """Header lines, all of length n.

    ``fault``: the first column that is not what it should be, 0 for a sound header; ``untimed``: neither an hour nor
    a release time, so that the sounding belongs to no analysis. ``odd_release`` and ``odd_position`` are values that
    were set to missing because they cannot be.
    """

    fault: npt.NDArray[np.int32]
    untimed: Mask
    odd_release: Mask
    odd_position: Mask
    reports: Reports

    @property
    def good(self) -> Mask:
        """Headers whose levels can be attributed."""
        return np.asarray(self.fault == 0)


def read_times(matrix: Bytes) -> Times:
    """The times of headers; ``matrix`` (>= 31, n) as ``text_matrix`` gives it."""
    year, good = integer(matrix, 14, 17)
    month, is_month = integer(matrix, 19, 20)
    day, is_day = integer(matrix, 22, 23)
    hour, is_hour = integer(matrix, 25, 26)
    reltime, is_reltime = integer(matrix, 28, 31)
    good &= is_month & is_day & is_hour & (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= ((hour >= 0) & (hour <= 23)) | (hour == 99)
    first_of_month = np.where(good, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    date = first_of_month.astype("datetime64[D]") + (np.where(good, day, 1) - 1)
    good &= date.astype("datetime64[M]") == first_of_month  # 31 February has run over into March
    with_hour = good & (hour != 99)
    nominal = date.astype("datetime64[h]") + np.where(with_hour, hour, 0)
    nominal = np.where(with_hour, nominal, np.datetime64("NaT", "h"))

    release_hour, minute = reltime // 100, reltime % 100
    valid = is_reltime & (reltime >= 0) & (release_hour <= 23) & ((minute <= 59) | (minute == 99))
    minutes = release_hour * 60 + np.where(minute == 99, 0, minute)
    release = date.astype("datetime64[m]") + np.where(valid, minutes, 0)
    # RELTIME has no date of its own: the day is the one that brings it within half a day of the nominal hour.
    late = release - nominal.astype("datetime64[m]")
    release = np.where(late > _HALF_DAY, release - _DAY, np.where(late < -_HALF_DAY, release + _DAY, release))
    release = np.where(good & valid, release, _NEVER)
    return Times(nominal, release, reltime, good, valid | (is_reltime & (reltime == 9999)))


def read_headers(data: Bytes, lines: Lines, rows: npt.NDArray[np.int64]) -> Headers:
    """The header lines ``rows`` of ``data``, each with the verdict on it."""
    n, length = len(rows), lines.length[rows]
    full = length >= HEADER_WIDTH
    matrix = np.full((HEADER_WIDTH, n), SPACE, np.uint8)
    if full.any():
        matrix[:, full] = text_matrix(data, lines.begin[rows[full]], HEADER_WIDTH)
    fault = np.where(full, 0, length + 1).astype(np.int32)

    def blame(good: Any, column: int) -> None:
        fault[(fault == 0) & ~good] = column

    times = read_times(matrix)
    declared, counted = integer(matrix, 33, 36)
    lat, is_lat = integer(matrix, 56, 62)
    lon, is_lon = integer(matrix, 64, 71)
    blame(((matrix[1:12] > SPACE) & (matrix[1:12] < 127)).all(axis=0), 2)
    blame(times.dated, 14)
    blame(counted & (declared >= 0), 33)
    for column in _BLANKS:
        blame(blank(matrix, column), column)
    blame(~trailing(data, lines, rows, HEADER_WIDTH), HEADER_WIDTH + 1)

    # Sentinels are integers: -9999 scaled would be a plausible -0.9999 degrees.
    no_lat, no_lon = (lat == MISSING) | (lat == MOBILE_LAT), (lon == MISSING) | (lon == MOBILE_LON)
    on_globe = is_lat & is_lon & (no_lat | (abs(lat) <= 900000)) & (no_lon | ((lon >= -1800000) & (lon <= 3600000)))
    placed = on_globe & ~no_lat & ~no_lon
    zeros = np.zeros(n, np.int64)
    reports = Reports(
        station=characters(matrix, 2, 12),
        nominal=times.nominal,
        release=times.release,
        reltime=np.where(times.released, times.reltime, 9999).astype(np.int32),
        declared=declared,
        p_src=characters(matrix, 38, 45),
        np_src=characters(matrix, 47, 54),
        lat=np.where(placed, lat / 1e4, np.nan),
        lon=np.where(placed, lon / 1e4, np.nan),
        elevation=np.full(n, np.nan),
        first=zeros,
        count=zeros,
        begin=zeros,
        end=zeros,
        digest=np.zeros(n, "U16"),
    )
    good = fault == 0
    untimed = good & np.isnat(times.reference)
    return Headers(fault, untimed, good & ~times.released, good & ~on_globe, reports)
