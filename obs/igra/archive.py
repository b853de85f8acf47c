"""Soundings from a folder in NCEI's layout, with files of any year.

access/data-y2d/<ID>-data-beg<YYYY>.txt.zip    the current or the previous year to date
access/data-por/<ID>-data.txt.zip              the period of record
doc/igra2-station-list.txt                     positions, elevations, years of activity
"""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dacycle.errors import SourceError
from dacycle.obs.igra.assembly import assemble
from dacycle.obs.igra.spans import Span, Window, minute, read_span
from dacycle.obs.igra.stations import Station, parse_stations
from dacycle.obs.igra.zips import DataFile, UnreadableZipError, data_file
from dacycle.obs.soundings import WINDOW_HOURS, InputFile, Problem, Soundings

__all__ = ["POR", "STATION_LIST", "Y2D", "FolderSource"]

Y2D = "access/data-y2d"
POR = "access/data-por"
STATION_LIST = "doc/igra2-station-list.txt"

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class _Entry:
    """A file in the folder as it was when listed; ``stamp``: modification time, size, inode."""

    path: Path
    name: str
    file: DataFile
    stamp: Stamp


@dataclass(frozen=True)
class _StationList:
    stations: dict[str, Station]
    problems: tuple[Problem, ...]
    source: InputFile | None


class FolderSource:
    """A ``SoundingSource`` that reads zips from a folder, each file version at most once per ten days of soundings.

    SourceError when the folder is absent or has no sounding files. Safe to use from several threads.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._spans: dict[str, tuple[Stamp, Span | Problem]] = {}
        self._list: tuple[Stamp | None, _StationList] | None = None
        self._lock = threading.Lock()
        if not root.is_dir():
            raise SourceError(
                f"source {root.absolute()}: expected a folder in the archive's layout ({Y2D}, {POR}), "
                f"found {'a file' if root.exists() else 'nothing'}: set [source] location"
            )
        if not self._entries():
            raise SourceError(
                f"source {root.absolute()}: expected <ID>-data*.txt.zip in {Y2D} or {POR}, found none: "
                "the archive is empty or [source] location is not its root"
            )

    def refresh(self, time: datetime | None = None) -> tuple[Problem, ...]:
        """Nothing to do: a folder is as new as its files."""
        return ()

    def newest(self) -> datetime | None:
        """The newest nominal time with a sounding."""
        with self._lock:
            newest = np.datetime64("NaT", "m")
            stations = self._stations().stations
            for entry in self._entries():
                station = stations.get(entry.file.station)
                # A period of record that ended before what is known already need not be unzipped.
                known = None if np.isnat(newest) else int(newest.astype("datetime64[Y]").astype(int)) + 1970
                if entry.file.begins is None and station and known and station.last_year < known:
                    continue
                span = self._span(entry, None)
                if isinstance(span, Span) and not np.isnat(span.last):
                    newest = np.fmax(newest, span.last)
        if np.isnat(newest):
            return None
        hours = int(newest.astype("datetime64[h]").astype(np.int64))
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hours)

    def fetch(self, time: datetime, window_hours: float = WINDOW_HOURS) -> Soundings:
        """The soundings whose nominal time t has -window <= t - ``time`` < window, with what could not be read.

        A sounding that is in both a station's files is taken from the year to date.
        """
        half = timedelta(hours=window_hours)
        window = minute(time - half), minute(time + half)
        with self._lock:
            stations = self._stations()
            entries = self._entries()
            present = {entry.name for entry in entries}
            self._spans = {name: span for name, span in self._spans.items() if name in present}
            spans = [self._span(entry, window) for entry in _candidates(entries, time, stations.stations)]
        found = assemble(spans, window)
        listed = (stations.source,) if stations.source else ()
        located = _located(found, stations.stations)
        return replace(located, problems=stations.problems + found.problems, inputs=listed + found.inputs)

    def _entries(self) -> list[_Entry]:
        """The sounding files: year to date, the newest years first, then the periods of record; by name."""
        entries = []
        for folder in (Y2D, POR):
            if not (self.root / folder).is_dir():
                continue
            with os.scandir(self.root / folder) as listing:
                for item in sorted(listing, key=lambda item: item.name):
                    file = data_file(item.name)
                    if file is not None and item.is_file():
                        entries.append(_Entry(Path(item.path), f"{folder}/{item.name}", file, _stamp(item.stat())))
        return sorted(entries, key=lambda entry: -(entry.file.begins or 0))

    def _span(self, entry: _Entry, window: Window | None) -> Span | Problem:
        """The file's span around ``window`` (None: its newest sounding), from memory where it is there."""
        stamp, span = self._spans.get(entry.name, (None, None))
        if stamp == entry.stamp and span and (isinstance(span, Problem) or window is None or span.covers(*window)):
            return span
        read: Span | Problem
        try:
            read = read_span(entry.path.read_bytes(), entry.file, entry.name, window)
        except (UnreadableZipError, OSError) as error:
            read = Problem(entry.name, None, None, str(error))
        self._spans[entry.name] = entry.stamp, read
        return read

    def _stations(self) -> _StationList:
        """The station list; without one, stations have no elevation and problems say so."""
        path = self.root / STATION_LIST
        try:
            stamp = _stamp(path.stat())
            if self._list is not None and self._list[0] == stamp:
                return self._list[1]
            content = path.read_bytes()
        except OSError as error:
            problem = Problem(STATION_LIST, None, None, f"no station list, elevations are unknown ({error.strerror})")
            return _StationList({}, (problem,), None)
        stations, problems = parse_stations(content, STATION_LIST)
        source = InputFile(STATION_LIST, len(content), hashlib.sha256(content).hexdigest())
        self._list = stamp, _StationList(stations, problems, source)
        return self._list[1]


def _candidates(entries: Iterable[_Entry], time: datetime, stations: dict[str, Station]) -> Iterator[_Entry]:
    """The files that may have soundings of ``time``, by their names and the station list."""
    for entry in entries:
        station = stations.get(entry.file.station)
        if entry.file.begins is not None:
            possible = entry.file.begins <= time.year + 1  # a window around New Year reaches into the next
        else:
            # A year of grace on both sides: the list may be older than the file.
            possible = station is None or station.first_year - 1 <= time.year <= station.last_year + 1
        if possible:
            yield entry


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _located(found: Soundings, stations: dict[str, Station]) -> Soundings:
    """Elevations from the station list, and positions where a header has none."""
    reports = found.reports
    listed = [stations.get(station) for station in reports.station.tolist()]

    def column(values: Iterable[float | None]) -> npt.NDArray[np.float64]:
        return np.array([np.nan if value is None else value for value in values], np.float64)

    elevation = column(station.elevation if station else None for station in listed)
    nowhere = np.isnan(reports.lat)
    lat = np.where(nowhere, column(station.lat if station else None for station in listed), reports.lat)
    lon = np.where(nowhere, column(station.lon if station else None for station in listed), reports.lon)
    return replace(found, reports=replace(reports, elevation=elevation, lat=lat, lon=lon))
