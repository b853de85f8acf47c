"""One station's text around a time, kept in memory so that successive analysis times need not unzip it again."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dacycle.obs.igra.format import index
from dacycle.obs.igra.zips import DataFile, UnreadableZipError, unzip
from dacycle.obs.soundings import InputFile

__all__ = ["Piece", "Span", "Window", "minute", "read_span"]

SMALL = 256 << 10
"""A text of at most this many bytes is kept whole."""
REACH = np.timedelta64(5, "D")
"""How far around the wanted window a longer text is kept: 20 soundings of 200 levels are some 0.2 MB a station."""

Minute = np.datetime64
Window = tuple[Minute, Minute]


def minute(time: datetime) -> Minute:
    """An aware time as datetime64[m] in UTC."""
    return np.datetime64(int(time.timestamp()) // 60, "m")


@dataclass(frozen=True)
class Piece:
    """Whole soundings cut from a file, whose line ``line`` (from 1) is the piece's first."""

    text: bytes
    line: int


@dataclass(frozen=True)
class Span:
    """A part of a file's text with an index of its headers.

    ``first`` and ``last``: reference times of the file's oldest and newest sounding, NaT in a file without any;
    ``since`` and ``until``: the part has every sounding with since <= time < until; ``begin``, ``times``: byte and
    reference time of each header in ``text``; ``line``: the number of its first line; ``late``: soundings dated later
    than a file of that name can have, which are left aside: one wrong digit must not make an archive look new.
    """

    source: InputFile
    first: Minute
    last: Minute
    since: Minute
    until: Minute
    text: bytes
    line: int
    begin: npt.NDArray[np.int64]
    times: npt.NDArray[np.datetime64]
    late: int = 0

    def covers(self, since: Minute, until: Minute) -> bool:
        """Whether the soundings of since <= time < until are here, be it none."""
        if np.isnat(self.first) or until <= self.first or since > self.last:
            return True
        return bool(
            max(since, self.first) >= self.since and min(until, self.last + np.timedelta64(1, "m")) <= self.until
        )

    def pieces(self, since: Minute, until: Minute) -> list[Piece]:
        """The soundings of since <= time < until; what stands between two headers comes with the first."""
        wanted = np.flatnonzero((self.times >= since) & (self.times < until))
        if not len(wanted):
            return []
        ends = np.append(self.begin[1:], len(self.text))
        pieces = []
        for run in np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1):
            start = 0 if run[0] == 0 else int(self.begin[run[0]])
            text = self.text[start : int(ends[run[-1]])]
            pieces.append(
                Piece(text if text.endswith(b"\n") else text + b"\n", self.line + self.text.count(b"\n", 0, start))
            )
        return pieces


def read_span(content: bytes, file: DataFile, name: str, window: Window | None) -> Span:
    """The span of a zip's ``content`` around ``window`` (None: around its newest sounding).

    UnreadableZipError when the zip is not what it should be or its text has no sounding at all.
    """
    text = unzip(content, file)
    source = InputFile(name, len(content), hashlib.sha256(content).hexdigest())
    begin, times = index(text)
    if text.strip() and (not len(times) or np.isnat(times[0])):
        raise UnreadableZipError(f"no header of a sounding in {len(text)} bytes of text")
    never = np.datetime64("NaT", "m")
    if not len(times):
        return Span(source, never, never, never, never, b"", 1, begin, times)
    possible = np.ones(len(times), np.bool_)
    if file.begins is not None:
        possible = times < np.datetime64(f"{file.begins + 2:04d}-01-01T00:00", "m")
    late = int((~possible).sum())
    if late == len(times):
        raise UnreadableZipError(f"all of its {late} soundings are dated after {(file.begins or 0) + 1}")
    first, last = times[possible].min(), times[possible].max()
    if len(text) <= SMALL:
        return Span(source, first, last, first, last + np.timedelta64(1, "m"), text, 1, begin, times, late)
    low, high = window or (last, last)
    since, until = low - REACH, high + REACH
    wanted = np.flatnonzero((times >= since) & (times < until))
    if not len(wanted):
        return Span(source, first, last, since, until, b"", 1, begin[:0], times[:0], late)
    # From the first to the last of them, so that a file out of order comes whole rather than in shreds.
    start = 0 if wanted[0] == 0 else int(begin[wanted[0]])
    stop = int(begin[wanted[-1] + 1]) if wanted[-1] + 1 < len(begin) else len(text)
    kept = slice(wanted[0], wanted[-1] + 1)
    line = 1 + text.count(b"\n", 0, start)
    return Span(source, first, last, since, until, text[start:stop], line, begin[kept] - start, times[kept], late)
