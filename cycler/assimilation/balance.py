"""Control variables: what winds are beyond the balance with the heights.

A covariance per spherical-harmonic degree is isotropic, so it cannot hold that winds blow along the isolines of height,
nor that they do so the other way round across the equator. As in variational assimilation (Parrish and Derber 1992;
Derber and Bouttier 1999), prior and network therefore live in control variables y, whose winds are what the heights'
gradients do not explain, in units of its own standard deviation n:

    y_w = (x_w - (a dz/dx + b dz/dy) / s_w) / n_w,    y_c = x_c for all other channels,

with x the anomalies in units of their standard deviation s, z = s F x the height anomaly of the wind's own level in m,
dz the differences between neighbouring grid points, and a, b and n found by regression for every place
(``training/balance.py``): geostrophy outside of the tropics, turned by friction near the ground, and whatever holds at
the equator and in the mountains. F smooths (``smoothing.py``): the smaller heights' scales are, the less winds follow
them, in the tropics above all, so that their differences would be what winds must make up for. The map is linear and
exactly invertible.
"""

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dacycle.cycler.assimilation.smoothing import Smoothing

__all__ = ["Balance", "balanced", "differences", "differences_adjoint", "neighbours"]

BALANCED_WITH = {
    "10u": "z850",
    "10v": "z850",
    **{f"{wind}{level}": f"z{level}" for wind in "uv" for level in (850, 500, 250)},
}
"""Wind -> the height whose gradient it follows."""


class Balance(nn.Module):
    """The map between states x and control variables y, both (m, channels, nlat, nlon)."""

    coefficients: Tensor
    spread: Tensor
    _std: Tensor

    def __init__(
        self,
        channels: Sequence[str],
        std: npt.NDArray[np.float32],
        coefficients: Tensor,
        spread: Tensor,
        smoothing: Smoothing | None = None,
    ) -> None:
        """``std`` (channels, nlat, nlon): s. For the winds of ``channels`` in the order of ``balanced``:
        ``coefficients`` (winds, 2, nlat, nlon): a and b, in the wind's unit over m; ``spread`` (winds, nlat, nlon): n.
        ``smoothing``: F, where heights are smoothed.
        """
        super().__init__()
        pairs = balanced(channels)
        if len(coefficients) != len(pairs) or len(spread) != len(pairs):
            raise ValueError(f"expected coefficients of {len(pairs)} winds; got {len(coefficients)}, {len(spread)}")
        self.winds = [channels.index(w) for w, _ in pairs]
        self.heights = [channels.index(z) for _, z in pairs]
        self.smoothing = smoothing
        self.register_buffer("coefficients", coefficients.float())
        self.register_buffer("spread", spread.float())
        self.register_buffer("_std", torch.as_tensor(std, dtype=torch.float32), persistent=False)

    def within(self, std: npt.NDArray[np.float32]) -> "Balance":
        """The same balance of a world whose anomalies are in units of another ``std``."""
        found = copy.copy(self)
        found._buffers = {**self._buffers, "_std": torch.as_tensor(std, dtype=torch.float32, device=self._std.device)}
        return found

    def control(self, x: Tensor) -> Tensor:
        """y of x."""
        y = x.clone()
        y[:, self.winds] = (x[:, self.winds] - self._follow(x)) / self.spread
        return y

    def state(self, y: Tensor) -> Tensor:
        """x of y, the inverse of ``control``."""
        x = y.clone()
        x[:, self.winds] = y[:, self.winds] * self.spread + self._follow(y)
        return x

    def state_adjoint(self, g: Tensor) -> Tensor:
        """The adjoint of ``state``: what a gradient in x is in y."""
        back, winds = g.clone(), g[:, self.winds]
        back[:, self.winds] = winds * self.spread
        moved = (winds / self._std[self.winds])[:, :, None] * self.coefficients
        moved = differences_adjoint(moved[:, :, 0], moved[:, :, 1]) * self._std[self.heights]
        levels, index = self.levels
        heights = torch.zeros_like(g[:, levels]).index_add_(1, torch.as_tensor(index, device=g.device), moved)
        back[:, levels] += heights if self.smoothing is None else self.smoothing.adjoint(heights)
        return back

    def knows(self, channel: int, among: Sequence[int]) -> bool:
        """Whether the control variable of ``channel`` follows from the channels ``among`` them."""
        return channel not in self.winds or self.heights[self.winds.index(channel)] in among

    @property
    def levels(self) -> tuple[list[int], list[int]]:
        """The heights that winds follow, and which of them each wind does."""
        levels = sorted(set(self.heights))
        return levels, [levels.index(z) for z in self.heights]

    def terms(self) -> Tensor:
        """(winds, 4, nlat, nlon): what multiplies, in x_w, y_w; F y_z in the same place; and the differences of F y_z
        to the east and to the north, when s is taken out of those of s F y_z."""
        s = self._std[self.heights]
        east, west, north, south = _beside(s)
        a, b = (self.coefficients / self._std[self.winds][:, None]).unbind(1)
        here = a * (east - west) + b * (north - south)
        return torch.stack([self.spread, here, a * (east + west) / 2, b * (north + south) / 2], 1)

    def _follow(self, x: Tensor) -> Tensor:
        """What the heights of ``x`` explain of its winds (m, winds, nlat, nlon)."""
        levels, index = self.levels
        heights = x[:, levels] if self.smoothing is None else self.smoothing(x[:, levels])
        east, north = differences(heights * self._std[levels])
        a, b = self.coefficients.unbind(1)
        return (a * east[:, index] + b * north[:, index]) / self._std[self.winds]


def balanced(channels: Sequence[str]) -> list[tuple[str, str]]:
    """The winds among ``channels`` that have their height there too, each with it."""
    return [(w, z) for w, z in BALANCED_WITH.items() if w in channels and z in channels]


def differences(z: Tensor) -> tuple[Tensor, Tensor]:
    """Between the neighbours of each point of (..., nlat, nlon): eastern less western, northern less southern.

    Beyond the outermost rows lie the same rows on the opposite meridians.
    """
    east, west, north, south = _beside(z)
    return east - west, north - south


def _beside(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    half = z.shape[-1] // 2
    wide = torch.cat([torch.roll(z[..., :1, :], half, -1), z, torch.roll(z[..., -1:, :], half, -1)], -2)
    return torch.roll(z, -1, -1), torch.roll(z, 1, -1), wide[..., :-2, :], wide[..., 2:, :]


def differences_adjoint(east: Tensor, north: Tensor) -> Tensor:
    """The adjoint of ``differences``."""
    half = east.shape[-1] // 2
    total = torch.roll(east, 1, -1) - torch.roll(east, -1, -1)
    total[..., :-1, :] += north[..., 1:, :]
    total[..., 1:, :] -= north[..., :-1, :]
    total[..., 0, :] += torch.roll(north[..., 0, :], half, -1)
    total[..., -1, :] -= torch.roll(north[..., -1, :], half, -1)
    return total


def neighbours(corners: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Flat indices of the eastern, western, northern and southern neighbours of flat ``corners``, as ``differences``
    takes them."""
    nlat, nlon = shape
    row, column = corners // nlon, corners % nlon
    across = (column + nlon // 2) % nlon
    east, west = row * nlon + (column + 1) % nlon, row * nlon + (column - 1) % nlon
    north = torch.where(row > 0, (row - 1) * nlon + column, across)
    south = torch.where(row < nlat - 1, (row + 1) * nlon + column, row * nlon + across)
    return east, west, north, south
