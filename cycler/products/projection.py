"""The globe on a page: the Equal Earth projection (Savric, Patterson and Jenny, 2018), and what is drawn over it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dacycle.emulators.grid import Grid, bilinear

__all__ = ["ASPECT", "Sampling", "coastlines", "graticule", "project", "sampling"]

FloatArray = npt.NDArray[np.float64]
A = (1.340264, -0.081106, 0.000893, 0.003796)
ROOT = np.sqrt(3.0) / 2.0
CENTRE = 10.0  # degrees east: the seam then runs through the Bering Strait and cuts little land
COASTLINE = Path(__file__).parent / "coastline.npz"
"""Land of Natural Earth at 1:50 million (public domain), from the npm package world-atlas 2.0.2 (LICENSE.world-atlas):
rings wider than 0.6 degrees, simplified to 0.12; hundredths of a degree, as (longitude, latitude)."""


def _plane(theta: FloatArray, lam: FloatArray) -> tuple[FloatArray, FloatArray]:
    t2 = theta**2
    t6 = t2**3
    x = 2 * np.sqrt(3) * lam * np.cos(theta) / (3 * (9 * A[3] * t6 * t2 + 7 * A[2] * t6 + 3 * A[1] * t2 + A[0]))
    return x, theta * (A[3] * t6 * t2 + A[2] * t6 + A[1] * t2 + A[0])


WIDTH = float(_plane(np.zeros(1), np.full(1, np.pi))[0][0])
HEIGHT = float(_plane(np.full(1, np.arcsin(ROOT)), np.zeros(1))[1][0])
ASPECT = WIDTH / HEIGHT


def project(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Places on the page, each from -1 to 1, rightward and upward; degrees in."""
    lam = np.deg2rad(np.mod(np.asarray(lon, float) - CENTRE + 180.0, 360.0) - 180.0)
    x, y = _plane(np.arcsin(ROOT * np.sin(np.deg2rad(lat))), lam)
    return x / WIDTH, y / HEIGHT


@dataclass(frozen=True)
class Sampling:
    """For every pixel (rows, columns): four corners in the flattened grid with weights, and whether it is on the globe.

    ``inside`` is the share of the pixel that the globe covers, 0 to 1.
    """

    corners: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    inside: npt.NDArray[np.float32]

    def of(self, field: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """The field (nlat, nlon) at every pixel."""
        flat = np.asarray(field, np.float32).ravel()
        return np.asarray(np.einsum("rck,rck->rc", flat[self.corners], self.weights), np.float32)


@lru_cache(maxsize=4)
def _sampling(nlat: int, nlon: int, width: int) -> Sampling:
    from dacycle.emulators.grid import gaussian_grid

    height = round(width / ASPECT)
    y = HEIGHT * (1 - (2 * np.arange(height) + 1) / height)
    theta = y / A[0]
    for _ in range(8):  # Newton's method converges in a few steps everywhere
        t2 = theta**2
        t6 = t2**3
        value = theta * (A[3] * t6 * t2 + A[2] * t6 + A[1] * t2 + A[0]) - y
        theta = theta - value / (9 * A[3] * t6 * t2 + 7 * A[2] * t6 + 3 * A[1] * t2 + A[0])
    theta = np.clip(theta, -np.arcsin(ROOT), np.arcsin(ROOT))
    lat = np.rad2deg(np.arcsin(np.clip(np.sin(theta) / ROOT, -1, 1)))
    edge = _plane(theta, np.full(height, np.pi))[0]
    x = WIDTH * ((2 * np.arange(width) + 1) / width - 1)
    lon = CENTRE + 180.0 * np.clip(x[None] / edge[:, None], -1, 1)
    grid = gaussian_grid(nlat, nlon)
    corners, weights = bilinear(grid, np.broadcast_to(lat[:, None], lon.shape).ravel(), lon.ravel())
    pixel = 2 * WIDTH / width
    inside = np.clip((edge[:, None] - np.abs(x)[None]) / pixel + 0.5, 0, 1)
    shape = (height, width, 4)
    return Sampling(corners.reshape(shape), weights.reshape(shape).astype(np.float32), inside.astype(np.float32))


def sampling(grid: Grid, width: int) -> Sampling:
    """How to draw fields on that grid ``width`` pixels wide; remembered."""
    return _sampling(*grid.shape, width)


@lru_cache(maxsize=1)
def coastlines() -> list[tuple[FloatArray, FloatArray]]:
    """Lines (x, y) on the page; those along the seam of the file or of the page are left out."""
    with np.load(COASTLINE, allow_pickle=False) as file:
        points, ends = file["points"] / 100.0, np.cumsum(file["lengths"].astype(int))
    lines: list[tuple[FloatArray, FloatArray]] = []
    for ring in np.split(points, ends[:-1]):
        x, y = project(ring[:, 1], ring[:, 0])
        seam = (np.abs(ring[:-1, 0]) > 179.9) & (np.abs(ring[1:, 0]) > 179.9) | (ring[:-1, 1] < -89.9)
        cut = np.flatnonzero(seam | (np.abs(np.diff(x)) > 0.5)) + 1
        lines += [(a, b) for a, b in zip(np.split(x, cut), np.split(y, cut), strict=True) if len(a) > 1]
    return lines


def graticule() -> list[tuple[FloatArray, FloatArray]]:
    """Meridians and parallels every 30 degrees."""
    lat, lon = np.linspace(-90, 90, 121), np.linspace(CENTRE - 179.99, CENTRE + 179.99, 181)
    lines = [project(lat, np.full(121, meridian)) for meridian in range(-180, 180, 30)]
    return lines + [project(np.full(181, parallel), lon) for parallel in range(-60, 90, 30)]
