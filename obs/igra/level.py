"""Level lines of IGRA v2.2 -> columns of integers.

Columns from 1: LVLTYP1 1 | LVLTYP2 2 | ETIME 4-8 | PRESS 10-15 | PFLAG 16 | GPH 17-21 | ZFLAG 22 | TEMP 23-27 |
TFLAG 28 | RH 29-33 | DPDP 35-39 | WDIR 41-45 | WSPD 47-51; real files append a blank.

LVLTYP1 is documented as 1, 2 or 3; real files also have 0, for surface winds with neither pressure nor height.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dacycle.obs.igra.columns import SPACE, Bytes, Lines, Mask, blank, integer, text_matrix, trailing
from dacycle.obs.soundings import Levels

__all__ = ["LEVEL_WIDTH", "read_levels"]

LEVEL_WIDTH = 51
CHUNK = 16384  # lines at a time, so that their characters and columns stay in the processor's cache

_TYPES = {"major": (1, 3), "minor": (2, 2)}
"""Column and largest value of the level types; the least is 0."""
_NUMBERS = {
    "etime": (4, 8),
    "press": (10, 15),
    "gph": (17, 21),
    "temp": (23, 27),
    "rh": (29, 33),
    "dpdp": (35, 39),
    "wdir": (41, 45),
    "wspd": (47, 51),
}
_FLAGS = {"pflag": 16, "zflag": 22, "tflag": 28}
_BLANKS = (3, 9, 34, 40, 46)


def read_levels(data: Bytes, lines: Lines, rows: npt.NDArray[np.int64]) -> tuple[Levels, npt.NDArray[np.int32]]:
    """The lines ``rows`` of ``data`` as levels, and for each the first column at fault, 0 where it is sound."""
    n = len(rows)
    columns: dict[str, npt.NDArray[np.generic]] = {name: np.empty(n, np.int8) for name in _TYPES}
    columns |= {name: np.empty(n, np.int32) for name in _NUMBERS}
    columns |= {name: np.empty(n, "S1") for name in _FLAGS}
    fault = np.where(lines.length[rows] < LEVEL_WIDTH, lines.length[rows] + 1, 0).astype(np.int32)
    whole = np.flatnonzero(fault == 0)
    for start in range(0, len(whole), CHUNK):
        part = whole[start : start + CHUNK]
        matrix = text_matrix(data, lines.begin[rows[part]], LEVEL_WIDTH)
        bad = np.zeros(len(part), np.bool_)
        for name, _, values, good in _fields(matrix):
            bad |= ~good
            if name:
                columns[name][part] = values
        if bad.any():
            fault[part[bad]] = _first_fault(matrix[:, bad])
    fault[(fault == 0) & trailing(data, lines, rows, LEVEL_WIDTH)] = LEVEL_WIDTH + 1
    return Levels(**columns), fault  # type: ignore[arg-type]


def _fields(matrix: Bytes) -> Iterator[tuple[str, int, npt.NDArray[np.generic], Mask]]:
    """(name, first column, values, whether they are sound) of each field; separators have no name."""
    for name, (column, largest) in _TYPES.items():
        digit = matrix[column - 1] - np.uint8(ord("0"))
        yield name, column, digit.view(np.int8), digit <= largest
    for name, (first, last) in _NUMBERS.items():
        yield name, first, *integer(matrix, first, last)
    for name, column in _FLAGS.items():
        flag = matrix[column - 1]
        yield name, column, flag.view("S1"), (flag == SPACE) | ((flag >= ord("A")) & (flag <= ord("Z")))
    for column in _BLANKS:
        yield "", column, matrix[column - 1], blank(matrix, column)


def _first_fault(matrix: Bytes) -> npt.NDArray[np.int32]:
    """The leftmost column at which each of these damaged lines goes wrong."""
    fault = np.zeros(matrix.shape[1], np.int32)
    for _, column, _, good in sorted(_fields(matrix), key=lambda item: item[1]):
        fault[(fault == 0) & ~good] = column
    return fault
