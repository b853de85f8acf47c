"""Fields from any global latitude-longitude grid onto a Gaussian one, rows and columns each by a matrix.

Along an axis where the source is finer, cells are averaged by their overlap, which conserves the area mean; where it
is coarser, values are interpolated linearly; on the grid's own rows or columns, nothing changes.
"""

import numpy as np
import numpy.typing as npt

from dacycle.emulators.grid import Grid

__all__ = ["is_global", "remap"]

FloatArray = npt.NDArray[np.float64]
SLACK = 1.5  # rows or columns may end so many spacings before the globe does


def is_global(lat: FloatArray, lon: FloatArray) -> bool:
    """Whether rows reach the poles and columns go all the way round, but for a gap of the grid's own spacing."""
    if len(lat) < 2 or len(lon) < 2:
        return False
    gaps = np.diff([*lon, lon[0] + 360.0])
    spacing = float(np.median(np.abs(np.diff(lat))))
    return bool(gaps.max() <= SLACK * np.median(gaps)) and bool(90.0 - np.abs(lat[[0, -1]]).min() <= SLACK * spacing)


def remap(values: npt.NDArray[np.floating], lat: FloatArray, lon: FloatArray, grid: Grid) -> npt.NDArray[np.float32]:
    """(..., nlat, nlon) on ``lat`` (degrees, north to south) and ``lon`` (ascending) to (..., *grid.shape).

    Beyond the outermost row, its values go on. ValueError where the source does not cover the globe.
    """
    if not is_global(lat, lon):
        raise ValueError(
            f"expected a global grid; got latitudes {lat[0]:g} to {lat[-1]:g} and longitudes {lon[0]:g} to {lon[-1]:g}"
        )
    rows, columns = _rows(lat, grid.lat), _columns(lon, grid.lon)
    return np.asarray(rows @ np.asarray(values, np.float64) @ columns.T, dtype=np.float32)


def _rows(source: FloatArray, target: FloatArray) -> FloatArray:
    """(target rows, source rows); overlap in the sine of latitude, which is area."""
    if len(source) > len(target):
        return _overlap(*(-np.sin(np.deg2rad(_edges(lat))) for lat in (source, target)))
    return _linear(-source, -target)


def _columns(source: FloatArray, target: FloatArray) -> FloatArray:
    """(target columns, source columns), around the circle: the source is laid out three times."""
    thrice = np.concatenate([source - 360.0, source, source + 360.0])
    if len(source) > len(target):
        middles = (thrice[1:] + thrice[:-1]) / 2
        own = (np.concatenate([target, [target[0] + 360.0]]) + np.concatenate([[target[-1] - 360.0], target])) / 2
        weights = _overlap(np.concatenate([[-np.inf], middles, [np.inf]]), own)
    else:
        weights = _linear(thrice, target)
    return np.asarray(weights.reshape(len(target), 3, len(source)).sum(1))


def _edges(lat: FloatArray) -> FloatArray:
    """Between rows, and the poles, north to south."""
    return np.concatenate([[90.0], (lat[1:] + lat[:-1]) / 2, [-90.0]])


def _overlap(source: FloatArray, target: FloatArray) -> FloatArray:
    """Shares (targets, sources) that the cells between ascending ``source`` edges have in those of ``target``."""
    low = np.maximum(target[:-1, None], source[None, :-1])
    high = np.minimum(target[1:, None], source[None, 1:])
    shares = np.clip(high - low, 0.0, None)
    return np.asarray(shares / shares.sum(1, keepdims=True))


def _linear(source: FloatArray, target: FloatArray) -> FloatArray:
    """Weights (targets, sources) of linear interpolation on an ascending axis; its ends go on as they are."""
    right = np.clip(np.searchsorted(source, target), 1, len(source) - 1)
    share = np.clip((target - source[right - 1]) / (source[right] - source[right - 1]), 0.0, 1.0)
    weights = np.zeros((len(target), len(source)))
    np.put_along_axis(weights, right[:, None] - 1, 1.0 - share[:, None], 1)
    np.put_along_axis(weights, right[:, None], share[:, None], 1)
    return weights
