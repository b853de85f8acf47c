"""IGRA v2.2 sounding text -> soundings, by whole columns at a time (NCEI's format description of 19 January 2023).

A line that is neither header nor level is told as a problem and skipped. The levels of an unreadable header are
skipped with it, and so are levels beyond NUMLEV: they belong to a header that was lost.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dacycle.obs.igra.columns import Bytes, Lines, Mask, lines_of, text_matrix
from dacycle.obs.igra.header import HEADER_WIDTH, Headers, read_headers, read_times
from dacycle.obs.igra.level import read_levels
from dacycle.obs.soundings import Problem, Soundings

__all__ = ["MAX_PROBLEMS", "index", "parse"]

MAX_PROBLEMS = 200
"""Of one text: a damaged file needs no more to be recognised."""
_HASH, _NEWLINE = b"#\n"


def parse(text: bytes, file: str, first_line: int = 1) -> Soundings:
    """All soundings of ``text``; ``file`` and ``first_line`` name the places of problems.

    A header with fewer levels than NUMLEV, or with none, is a sounding. One without hour and release time has no
    place in time and is told as a problem.
    """
    data = np.frombuffer(text, np.uint8)
    lines = lines_of(data)
    layout = _layout(data, lines)
    wanted = np.flatnonzero(layout.level)
    levels, fault = read_levels(data, lines, wanted)
    headers, owner = layout.headers, layout.owner[wanted]
    kept = (fault == 0) & ~headers.untimed[owner]
    levels = levels if kept.all() else levels.take(kept)

    chosen = np.flatnonzero(headers.good & ~headers.untimed)
    count = np.bincount(owner[kept], minlength=len(headers.fault)).astype(np.int64)[chosen]
    begin = lines.begin[layout.header]
    end = np.append(begin[1:], len(data)).astype(np.int64)
    reports = replace(
        headers.reports.take(chosen),
        first=np.cumsum(count) - count,
        count=count,
        begin=begin[chosen],
        end=end[chosen],
    )
    return Soundings(reports, levels, _problems(file, first_line, layout, wanted, fault))


def index(text: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.datetime64]]:
    """Where each header begins and the reference time (datetime64[m]) of its sounding, without reading levels.

    A header without readable time takes that of the header before it (else of the first after it), so that whoever
    selects by time meets the trouble beside its neighbour; NaT when no header has one.
    """
    data = np.frombuffer(text, np.uint8)
    begin = np.flatnonzero(data == _HASH)
    begin = begin[(begin == 0) | (data[begin - 1] == _NEWLINE)].astype(np.int64)
    times = np.full(len(begin), np.datetime64("NaT", "m"))
    whole = begin + HEADER_WIDTH <= len(data)
    if whole.any():
        times[whole] = read_times(text_matrix(data, begin[whole], HEADER_WIDTH)).reference
    known = np.flatnonzero(~np.isnat(times))
    if len(known):
        before = np.searchsorted(known, np.arange(len(times)), side="right") - 1
        times = times[known[np.maximum(before, 0)]]
    return begin, times


@dataclass(frozen=True)
class _Layout:
    """What each line is. ``header``: the lines of ``headers``; ``owner``: each line's header, -1 before the first.

    ``level``: a level of a readable header within its NUMLEV; ``orphan``: before the first header; ``surplus``:
    beyond NUMLEV. Levels of unreadable headers and empty lines are none of these.
    """

    headers: Headers
    header: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int64]
    level: Mask
    orphan: Mask
    surplus: Mask


def _layout(data: Bytes, lines: Lines) -> _Layout:
    filled = lines.length > 0
    is_header = np.zeros(len(lines), np.bool_)
    is_header[filled] = data[lines.begin[filled]] == _HASH
    header = np.flatnonzero(is_header)
    headers = read_headers(data, lines, header)
    owner = np.cumsum(is_header) - 1
    if not len(header):
        none = np.zeros(len(lines), np.bool_)
        return _Layout(headers, header, owner, none, filled, none)
    owned = filled & ~is_header & (owner >= 0)
    readable = owned & headers.good[owner]
    surplus = readable & (np.arange(len(lines)) - header[owner] > headers.reports.declared[owner])
    return _Layout(headers, header, owner, readable & ~surplus, filled & (owner < 0), surplus)


def _problems(
    file: str, first_line: int, layout: _Layout, wanted: npt.NDArray[np.int64], fault: npt.NDArray[np.int32]
) -> tuple[Problem, ...]:
    """In the order of the lines, at most ``MAX_PROBLEMS`` and a word when there are more."""
    headers, header = layout.headers, layout.header
    bad = np.flatnonzero(fault)
    unreadable = np.flatnonzero(headers.fault)
    present = np.bincount(layout.owner[wanted], minlength=len(header))
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32] | int | None, str]] = [
        (wanted[bad], fault[bad], "unreadable level, the line is skipped"),
        (header[unreadable], headers.fault[unreadable], "unreadable header, its sounding is skipped"),
        (_starts(layout.orphan), None, "levels without a header, skipped"),
        (_starts(layout.surplus), None, "levels beyond NUMLEV, skipped"),
        (header[headers.untimed], 25, "neither hour nor release time, the sounding is skipped"),
        (header[headers.odd_release], 28, "RELTIME is not a time, taken as missing"),
        (header[headers.odd_position], 56, "LAT and LON are not on the globe, taken as missing"),
        (header[headers.good & (present < headers.reports.declared)], 33, "fewer levels than NUMLEV"),
    ]
    problems = [
        Problem(file, first_line + int(line), None if column is None else int(column), text)
        for lines, columns, text in found
        for line, column in zip(
            lines[: MAX_PROBLEMS + 1].tolist(),
            columns.tolist() if isinstance(columns, np.ndarray) else [columns] * len(lines),
            strict=False,
        )
    ]
    problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
    if len(problems) > MAX_PROBLEMS:
        return (*problems[:MAX_PROBLEMS], Problem(file, None, None, "more problems follow"))
    return tuple(problems)


def _starts(mask: Mask) -> npt.NDArray[np.int64]:
    """The first line of every run of marked lines."""
    return np.flatnonzero(mask & ~np.concatenate([[False], mask[:-1]]))
