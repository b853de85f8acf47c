"""Soundings as the archive has them: reports with their levels, in integers of the file's own units.

Integers keep the archive's sentinels apart from values until the last moment: -9999 (missing) and -8888 (removed by
the archive's quality assurance) must be recognised before anything is scaled. ``decode`` is where that happens.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

__all__ = ["MISSING", "REMOVED", "WINDOW_HOURS", "InputFile", "Levels", "Problem", "Reports", "Soundings", "decode"]

MISSING = -9999
MISSING_DERIVED = -99999
REMOVED = -8888
WINDOW_HOURS = 3.0
"""Half the width of the window of nominal times that belong to an analysis."""

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Problem:
    """Something that could not be read; ``line`` and ``column`` count from 1, None where the whole file is meant."""

    file: str
    line: int | None
    column: int | None
    text: str

    def __str__(self) -> str:
        place = [self.file]
        place += [f"line {self.line}"] if self.line is not None else []
        place += [f"column {self.column}"] if self.column is not None else []
        return f"{', '.join(place)}: {self.text}"


@dataclass(frozen=True)
class InputFile:
    """A file that contributed: its name below the archive's root, size in bytes and content."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class _Table:
    """Columns of one length."""

    def __len__(self) -> int:
        return len(next(iter(self.columns().values())))

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The columns by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """The rows chosen by a boolean mask or by indices."""
        return replace(self, **{name: values[rows] for name, values in self.columns().items()})


@dataclass(frozen=True)
class Reports(_Table):
    """Headers, one row per sounding.

    station: 11-character ID; nominal: datetime64[h], NaT for HOUR 99; release: datetime64[m], NaT when unknown, on
    the day before or after the nominal date where that is nearer; reltime: RELTIME as written; declared: NUMLEV;
    p_src, np_src: data sources; lat, lon: degrees, NaN when missing; elevation: m, NaN until a station list gives it;
    first, count: the sounding's rows among the levels; begin, end: its bytes in the text; digest: a hash of those
    bytes, by which a revised sounding is told, empty until a source computes it.
    """

    station: npt.NDArray[np.str_]
    nominal: npt.NDArray[np.datetime64]
    release: npt.NDArray[np.datetime64]
    reltime: IntArray
    declared: IntArray
    p_src: npt.NDArray[np.str_]
    np_src: npt.NDArray[np.str_]
    lat: npt.NDArray[np.float64]
    lon: npt.NDArray[np.float64]
    elevation: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    digest: npt.NDArray[np.str_]

    @property
    def reference(self) -> npt.NDArray[np.datetime64]:
        """The time that decides which analysis a sounding belongs to: nominal, else release; datetime64[m]."""
        nominal = self.nominal.astype("datetime64[m]")
        return np.where(np.isnat(nominal), self.release, nominal)

    @property
    def key(self) -> npt.NDArray[np.str_]:
        """What identifies a sounding: station, nominal and release time, as ``USM00072403 2016-01-01T00 2303``."""
        hour = np.datetime_as_string(self.nominal, unit="h")
        rows = zip(self.station.tolist(), hour.tolist(), self.reltime.tolist(), strict=True)
        return np.array([f"{station} {time} {reltime:04d}" for station, time, reltime in rows], dtype="U30")


@dataclass(frozen=True)
class Levels(_Table):
    """Levels, one row each, in the file's integers.

    major: LVLTYP1 (1 standard pressure, 2 other pressure, 3 none); minor: LVLTYP2 (1 surface, 2 tropopause, 0 other);
    etime: MMMSS since release; press: Pa; gph: m; temp: 0.1 degC; rh: 0.1 %; dpdp: 0.1 degC; wdir: degrees; wspd:
    0.1 m/s; pflag, zflag, tflag: blank, A or B.
    """

    major: npt.NDArray[np.int8]
    minor: npt.NDArray[np.int8]
    etime: IntArray
    press: IntArray
    pflag: npt.NDArray[np.bytes_]
    gph: IntArray
    zflag: npt.NDArray[np.bytes_]
    temp: IntArray
    tflag: npt.NDArray[np.bytes_]
    rh: IntArray
    dpdp: IntArray
    wdir: IntArray
    wspd: IntArray


@dataclass(frozen=True)
class Soundings:
    """Reports and their levels; what could not be read; the files they came from."""

    reports: Reports
    levels: Levels
    problems: tuple[Problem, ...] = ()
    inputs: tuple[InputFile, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.reports)

    def select(self, rows: npt.NDArray[Any]) -> "Soundings":
        """The soundings chosen by a boolean mask or by indices, with their levels; problems and inputs stay."""
        reports = self.reports.take(rows)
        count = reports.count
        first = np.concatenate([[0], np.cumsum(count)])[:-1].astype(np.int64)
        level_rows = np.arange(int(count.sum())) + np.repeat(reports.first - first, count)
        return replace(self, reports=replace(reports, first=first), levels=self.levels.take(level_rows))

    @property
    def owner(self) -> npt.NDArray[np.int64]:
        """(levels,): the row of the report that each level belongs to."""
        return np.repeat(np.arange(len(self.reports)), self.reports.count)


def decode(column: IntArray, scale: float) -> npt.NDArray[np.float64]:
    """Values in units of ``scale``, NaN where the archive has a sentinel."""
    absent = (column == MISSING) | (column == REMOVED) | (column == MISSING_DERIVED)
    return np.where(absent, np.nan, column * scale)
