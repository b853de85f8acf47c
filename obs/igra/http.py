"""Soundings from a server in NCEI's layout: mirrored into a folder, then read from there.

Of the year-to-date files all are mirrored that reach back to the wanted year; of the periods of record (28 GB in all)
only those of stations that were active in that year and have no such file. A file is asked for only where its listed
date or size has changed, and then conditionally. Whatever comes must be the zip of the station's text; otherwise the
old file stays and a problem says why.
"""

import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock
from time import monotonic

import httpx

from dacycle.binding import carried
from dacycle.errors import SourceError
from dacycle.obs.igra.archive import POR, STATION_LIST, Y2D, FolderSource
from dacycle.obs.igra.listing import Listed, parse_listing
from dacycle.obs.igra.mirror import Mirror
from dacycle.obs.igra.stations import Station, parse_stations
from dacycle.obs.igra.transfer import UNREACHABLE, Limits, Reply, TransferError, Validators, transfer
from dacycle.obs.igra.zips import MAX_ZIP_BYTES, UnreadableZipError, unzip
from dacycle.obs.soundings import WINDOW_HOURS, Problem, Soundings

__all__ = ["HttpSource"]

PAGE = Limits(size=32 << 20, seconds=120.0)
FILE = Limits(size=MAX_ZIP_BYTES, seconds=300.0)
CONNECTIONS = 4
GIVE_UP_AFTER = 10
"""Server faults in a row: a server that is down is not asked for eight hundred more files."""
REFRESH_SECONDS = 1800.0
"""A refresh begins no further file after this, so that a slow server cannot hold up a cycle for hours; the next
refresh goes on where this one stopped."""


class HttpSource:
    """A ``SoundingSource`` over HTTP. ``page`` and ``file`` bound single requests, ``seconds`` a refresh."""

    def __init__(
        self, location: str, mirror: Path, page: Limits = PAGE, file: Limits = FILE, seconds: float = REFRESH_SECONDS
    ) -> None:
        self.location = location.rstrip("/")
        self._page, self._file, self._seconds = page, file, seconds
        self._mirror = Mirror(mirror)
        self._folder: FolderSource | None = None
        self._years: set[int | None] = set()
        self._lock = Lock()

    def refresh(self, time: datetime | None = None) -> tuple[Problem, ...]:
        """Mirror what is new, as far as soundings of ``time`` (None: the newest) need it.

        SourceError when the server cannot be reached or has no soundings, and the mirror is empty.
        """
        timeout = httpx.Timeout(30.0, connect=10.0)
        with (
            self._lock,
            httpx.Client(timeout=timeout, follow_redirects=True, max_redirects=5, verify=_certificates()) as client,
            self._mirror.writing(),
        ):
            problems = self._update(client, time)
        self._years |= {None, time.year if time else None}
        self._open(problems)
        return tuple(problems)

    def fetch(self, time: datetime, window_hours: float = WINDOW_HOURS) -> Soundings:
        """As ``FolderSource.fetch``, from the mirror."""
        if time.year not in self._years:
            self.refresh(time)
        return self._open(()).fetch(time, window_hours)

    def newest(self) -> datetime | None:
        """As ``FolderSource.newest``, from the mirror."""
        if None not in self._years:
            self.refresh()
        return self._open(()).newest()

    def _open(self, problems: Iterable[Problem]) -> FolderSource:
        """The mirror as a folder; SourceError naming the first problem where it holds nothing."""
        if self._folder is None:
            try:
                self._folder = FolderSource(self._mirror.root)
            except SourceError as error:
                first = next(iter(problems), None)
                if first is not None and first.text.startswith(UNREACHABLE):
                    told = first.text
                else:
                    reason = first or f"no <ID>-data*.txt.zip in {Y2D} or {POR}"
                    told = f"source {self.location}: expected an archive of soundings, got none: {reason}"
                raise SourceError(f"{told}; check [source] location and the network") from error
        return self._folder

    def _update(self, client: httpx.Client, time: datetime | None) -> list[Problem]:
        problems: list[Problem] = []
        stations = self._station_list(client, problems)
        recent = self._listing(client, Y2D, problems)
        wanted = [(f"{Y2D}/{item.file.name}", item) for item in recent if _reaches(item, time)]
        if time is not None:
            reached = {item.file.station for _, item in wanted}
            active = {
                station.id for station in stations.values() if station.first_year <= time.year <= station.last_year
            }
            if active - reached:
                records = self._listing(client, POR, problems)
                wanted += [
                    (f"{POR}/{item.file.name}", item) for item in records if item.file.station in active - reached
                ]
        return problems + self._download(client, wanted)

    def _download(self, client: httpx.Client, wanted: list[tuple[str, Listed]]) -> list[Problem]:
        """Bring each wanted file up to date, a few at a time."""
        down = 0
        deadline = monotonic() + self._seconds

        def one(name: str, item: Listed) -> Problem | None:
            nonlocal down
            note = self._mirror.note(name)
            if note is not None and item.version and note.listed == item.version:
                return None
            if monotonic() > deadline:
                return Problem(
                    name, None, None, f"not asked for: {self._seconds:.0f} s are over; the next time goes on"
                )
            if down >= GIVE_UP_AFTER:
                return Problem(name, None, None, "not asked for: the server has failed too often")
            try:
                reply = self._get(client, name, self._file)
                if reply.content is None:
                    self._mirror.confirm(name, item.version)
                else:
                    unzip(reply.content, item.file)
                    self._mirror.keep(name, reply.content, item.version, reply.validators)
                down = 0
            except UnreadableZipError as error:
                return Problem(name, None, None, f"{error}; the old file stays" if note else str(error))
            except TransferError as error:
                down = down + 1 if error.server else 0
                return Problem(name, None, None, str(error))
            return None

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return [problem for problem in pool.map(carried(one), *zip(*wanted, strict=True)) if problem is not None]

    def _get(self, client: httpx.Client, name: str, limits: Limits) -> Reply:
        note = self._mirror.note(name)
        return transfer(client, f"{self.location}/{name}", note.validators if note else Validators(), limits)

    def _listing(self, client: httpx.Client, folder: str, problems: list[Problem]) -> list[Listed]:
        """The files of a folder; a problem, and what the mirror has, where it cannot be had."""
        try:
            reply = transfer(client, f"{self.location}/{folder}/", Validators(), self._page)
        except TransferError as error:
            problems.append(Problem(folder, None, None, str(error)))
            return []
        listed = parse_listing((reply.content or b"").decode("utf-8", "replace"))
        if not listed:
            problems.append(Problem(folder, None, None, "the server's listing names no <ID>-data*.txt.zip"))
        return listed

    def _station_list(self, client: httpx.Client, problems: list[Problem]) -> dict[str, Station]:
        """The station list, refreshed where possible; nothing else may take its place."""
        try:
            reply = self._get(client, STATION_LIST, self._page)
            if reply.content is not None:
                stations, unread = parse_stations(reply.content, STATION_LIST)
                if len(stations) > len(unread):
                    self._mirror.keep(STATION_LIST, reply.content, "", reply.validators)
                    return stations
                problems.append(Problem(STATION_LIST, None, None, f"{reply.content[:15]!r}... is no station list"))
        except TransferError as error:
            problems.append(Problem(STATION_LIST, None, None, str(error)))
        try:
            return parse_stations((self._mirror.root / STATION_LIST).read_bytes(), STATION_LIST)[0]
        except OSError:
            return {}


@cache
def _certificates() -> ssl.SSLContext:
    """Loading them takes longer than most requests, so once is enough."""
    return httpx.create_ssl_context()


def _reaches(item: Listed, time: datetime | None) -> bool:
    """Whether a year-to-date file may have soundings around ``time``, which may be a new year's."""
    return time is None or (item.file.begins is not None and item.file.begins <= time.year + 1)
