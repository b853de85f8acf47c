"""Cubic interpolation from one Gaussian grid to another: what super-resolution has to beat."""

import numpy as np
import numpy.typing as npt

from dacycle.emulators.grid import Grid

__all__ = ["cubic"]

FloatArray = npt.NDArray[np.float64]
HALO = 2


def cubic(fields: npt.NDArray[np.floating], source: Grid, target: Grid) -> npt.NDArray[np.float32]:
    """Fields (..., nlat, nlon), interpolated in latitude and longitude by the cubic through four neighbours.

    Longitude wraps; beyond the poles the rows are those of the opposite meridians, as scalars continue there.
    """
    half = source.shape[1] // 2
    north = np.roll(fields[..., :HALO, :][..., ::-1, :], half, -1)
    south = np.roll(fields[..., -HALO:, :][..., ::-1, :], half, -1)
    tall = np.concatenate([north, fields, south], -2)
    wide = np.concatenate([tall[..., -HALO:], tall, tall[..., :HALO]], -1)
    lat = np.concatenate([180 - source.lat[:HALO][::-1], source.lat, -180 - source.lat[-HALO:][::-1]])
    lon = np.concatenate([source.lon[-HALO:] - 360, source.lon, source.lon[:HALO] + 360])
    rows, columns = _weights(-lat, -target.lat), _weights(lon, target.lon)
    return np.asarray(np.einsum("ij,...jk,lk->...il", rows, wide, columns, optimize=True), dtype=np.float32)


def _weights(nodes: FloatArray, points: FloatArray) -> FloatArray:
    """Lagrange weights (points, nodes) of the two nodes on either side of each point; ``nodes`` ascend."""
    first = np.clip(np.searchsorted(nodes, points, side="right") - 2, 0, len(nodes) - 4)
    index = first[:, None] + np.arange(4)
    near = nodes[index]
    weights = np.ones_like(near)
    for k in range(4):
        for j in range(4):
            if j != k:
                weights[:, k] *= (points - near[:, j]) / (near[:, k] - near[:, j])
    full = np.zeros((len(points), len(nodes)))
    np.put_along_axis(full, index, weights, 1)
    return full
