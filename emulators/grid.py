"""Gaussian latitude-longitude grids, rows from north to south, longitudes eastward from 0."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["EARTH_RADIUS_KM", "Grid", "bilinear", "gaussian_grid"]

FloatArray = npt.NDArray[np.float64]
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True)
class Grid:
    """A Gaussian grid: ``lat`` (nlat,) degrees north to south, ``lon`` (nlon,) degrees from 0 eastward.

    ``weights`` (nlat,) are the Gauss quadrature weights scaled to a mean of one: the area weight of a row's points.
    """

    lat: FloatArray
    lon: FloatArray
    weights: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """(nlat, nlon)."""
        return len(self.lat), len(self.lon)

    def mean(self, field: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Area mean over the last two axes of ``field`` (..., nlat, nlon)."""
        return np.asarray((field.mean(-1) * self.weights).mean(-1))


def gaussian_grid(nlat: int, nlon: int) -> Grid:
    """The Gaussian grid with ``nlat`` Legendre roots as latitudes; ValueError unless nlat is even and positive."""
    if nlat < 2 or nlat % 2 or nlon < 4:
        raise ValueError(f"a Gaussian grid needs an even nlat >= 2 and nlon >= 4; got {nlat}x{nlon}")
    roots, weights = np.polynomial.legendre.leggauss(nlat)
    return Grid(np.rad2deg(np.arcsin(roots[::-1])), np.arange(nlon) * 360.0 / nlon, weights[::-1] * nlat / 2)


def bilinear(grid: Grid, lat: FloatArray, lon: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Corner indices into the flattened grid and weights, each (n, 4), of bilinear interpolation at n points.

    Longitude wraps. Beyond the outermost row, the point lies between the two meridians' values on that row and
    those on the meridians opposite across the pole, so that scalar fields stay continuous there.
    """
    nlat, nlon = grid.shape
    x = np.mod(np.asarray(lon, dtype=np.float64), 360.0) * nlon / 360.0
    west = np.floor(x).astype(np.int64) % nlon
    fx = x - np.floor(x)
    # Rows -1 and nlat are the outermost rows seen across the pole.
    extended = np.concatenate([[180.0 - grid.lat[0]], grid.lat, [-180.0 - grid.lat[-1]]])
    row = np.clip(np.searchsorted(-extended, -np.asarray(lat, dtype=np.float64), side="right") - 1, 0, nlat)
    fy = (extended[row] - lat) / (extended[row] - extended[row + 1])
    corners, weights = [], []
    for r, wy in ((row - 1, 1 - fy), (row, fy)):
        across = (r < 0) | (r >= nlat)
        inside = np.clip(r, 0, nlat - 1)
        for step, wx in ((0, 1 - fx), (1, fx)):
            column = (west + step + np.where(across, nlon // 2, 0)) % nlon
            corners.append(inside * nlon + column)
            weights.append(wy * wx)
    return np.stack(corners, -1), np.stack(weights, -1)
