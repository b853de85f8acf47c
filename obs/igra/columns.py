"""Fixed-width text as a matrix of bytes, and its fields as integers: no Python loop over lines."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SPACE", "Bytes", "Lines", "Mask", "blank", "characters", "integer", "lines_of", "text_matrix", "trailing"]

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

SPACE = ord(" ")
_NEWLINE, _CARRIAGE_RETURN, _MINUS, _ZERO, _UNKNOWN = b"\n\r-0?"


@dataclass(frozen=True)
class Lines:
    """Where the lines of a text begin, and their length without newline and carriage return; (lines,) int64."""

    begin: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.begin)


def lines_of(text: Bytes) -> Lines:
    """The lines of ``text``; what follows the last newline is one too."""
    end = np.flatnonzero(text == _NEWLINE).astype(np.int64)
    if len(text) and (not len(end) or end[-1] != len(text) - 1):
        end = np.append(end, len(text))
    begin = np.concatenate([np.zeros(1, np.int64), end + 1])[: len(end)]
    length = end - begin
    filled = length > 0
    length[filled] -= text[end[filled] - 1] == _CARRIAGE_RETURN
    return Lines(begin, length)


def text_matrix(text: Bytes, begin: npt.NDArray[np.int64], width: int) -> Bytes:
    """(width, lines): the ``width`` characters from each ``begin``, column by column; ``text`` must reach there."""
    windows = np.lib.stride_tricks.sliding_window_view(text, width)
    return np.ascontiguousarray(windows[begin].T)


def integer(matrix: Bytes, first: int, last: int) -> tuple[npt.NDArray[np.int32], Mask]:
    """The right-justified integer in the columns ``first`` to ``last`` (from 1, inclusive) and whether it is one.

    An integer is blanks, at most one minus sign, then digits up to the last column.
    """
    value = np.zeros(matrix.shape[1], np.int32)
    negative, started = np.zeros((2, matrix.shape[1]), np.bool_)
    good = np.ones(matrix.shape[1], np.bool_)
    is_digit = good
    for character in matrix[first - 1 : last]:
        digit = character - np.uint8(_ZERO)  # wraps around for what precedes "0", so one comparison tells digits
        is_digit = digit <= 9
        is_minus = character == _MINUS
        good &= is_digit | (~started & (is_minus | (character == SPACE)))
        started |= is_digit | is_minus
        negative |= is_minus
        value *= 10
        value += digit * is_digit
    np.negative(value, where=negative, out=value)
    return value, good & is_digit


def characters(matrix: Bytes, first: int, last: int) -> npt.NDArray[np.str_]:
    """The columns as text without trailing blanks; what is not printable ASCII becomes a question mark."""
    columns = matrix[first - 1 : last]
    safe = np.where((columns >= SPACE) & (columns < 127), columns, np.uint8(_UNKNOWN))
    width = last - first + 1
    raw = np.ascontiguousarray(safe.T).reshape(-1).view(f"S{width}")
    return np.asarray(np.char.rstrip(raw).astype(f"U{width}"))


def blank(matrix: Bytes, column: int) -> Mask:
    """Whether the column (from 1) is a blank."""
    return np.asarray(matrix[column - 1] == SPACE)


def trailing(text: Bytes, lines: Lines, rows: npt.NDArray[np.int64], width: int) -> Mask:
    """Whether the lines ``rows`` have anything but blanks after their first ``width`` characters."""
    extra = lines.length[rows] - width
    found = np.zeros(len(rows), np.bool_)
    for offset in range(min(int(extra.max(initial=0)), 8)):
        longer = np.flatnonzero(extra > offset)
        found[longer] |= text[lines.begin[rows[longer]] + width + offset] != SPACE
    for row in np.flatnonzero(extra > 8):  # rare: two lines run together
        start = lines.begin[rows[row]] + width
        found[row] |= bool((text[start + 8 : start + extra[row]] != SPACE).any())
    return found
