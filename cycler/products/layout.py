"""What readers of gridded fields share: how they name what they found, and which way a grid lies."""

from datetime import datetime

import numpy as np
import numpy.typing as npt

__all__ = ["Degrees", "Found", "orientation"]

Degrees = npt.NDArray[np.float64]
Found = dict[tuple[datetime, str, int], npt.NDArray[np.float32]]
"""(valid time, name of a channel or what helps to make one, member) -> (nlat, nlon); member 0 where there is one."""


def orientation(lat: Degrees, lon: Degrees) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Degrees, Degrees]:
    """Rows from north to south and columns from 0 eastward, each meridian once, and their coordinates."""
    rows = np.argsort(-lat)
    east, columns = np.unique(np.round(np.mod(lon, 360.0), 9) % 360.0, return_index=True)
    return rows, columns, lat[rows], east
