"""Gradients of the state: what a convolution on the sphere cannot see.

The filter of an SFNO is isotropic (Driscoll and Healy 1994): it knows no east and no north, so no layer behind it can
make a pressure gradient, a divergence or a vorticity of the fields. They are what moves the air, and they are offered
to a network as additional inputs:

    dx/d(east), dx/d(north)                   of every channel, over LENGTH
    (dt div V, dt curl V)                     at every level with wind, dt the emulator's step
    dt (-g dz/d(east) + f v), dt (-g dz/d(north) - f u)    where the level has a height, too

Eastward derivatives are exact for what the grid resolves; northward ones are of the seventh-degree polynomials through
the eight nearest rows of the great circle, across the poles, where components of the wind change sign.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dacycle.channels import Channel
from dacycle.emulators.grid import Grid

__all__ = ["LENGTH", "Gradients", "eastward", "northward"]

EARTH_RADIUS = 6.371e6  # m
GRAVITY = 9.80665
ROTATION = 7.292e-5  # s-1
LENGTH = 5e5  # m: gradients over it are as large as the state's own anomalies
STENCIL = 4  # rows on either side of where a derivative is taken, one less on one of them


class Gradients(nn.Module):
    """Gradients of all ``channels`` on ``grid``, and what they do to the wind within ``seconds``."""

    def __init__(self, channels: tuple[Channel, ...], grid: Grid, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        index = {(c.variable, c.level_hpa): i for i, c in enumerate(channels)}
        levels = [p for p in dict.fromkeys(c.level_hpa for c in channels) if {("u", p), ("v", p)} <= index.keys()]
        self.winds = [(index["u", p], index["v", p]) for p in levels]
        self.forced = [(index["z", p], index["u", p], index["v", p]) for p in levels if ("z", p) in index]
        self.channels = len(channels)
        latitude = np.deg2rad(grid.lat)
        here, across = northward(latitude)
        sign = [-1.0 if c.variable in "uv" else 1.0 for c in channels]
        cosine = np.cos(latitude)[:, None]
        buffers = {
            "_east": eastward(grid.shape[1]).T / EARTH_RADIUS,
            "_north": here / EARTH_RADIUS,
            "_across": across / EARTH_RADIUS,
            "_sign": np.array(sign)[:, None, None],
            "_cosine": cosine,
            "_metric": np.tan(latitude)[:, None] / EARTH_RADIUS,
            "_coriolis": 2 * ROTATION * np.sin(latitude)[:, None],
        }
        self._east: torch.Tensor
        self._north: torch.Tensor
        self._across: torch.Tensor
        self._sign: torch.Tensor
        self._cosine: torch.Tensor
        self._metric: torch.Tensor
        self._coriolis: torch.Tensor
        for name, values in buffers.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32), persistent=False)

    @property
    def outputs(self) -> int:
        """How many fields ``forward`` gives."""
        return 2 * self.channels + 2 * len(self.winds) + 2 * len(self.forced)

    def scales(self, std: torch.Tensor, tendency_std: torch.Tensor) -> torch.Tensor:
        """(outputs, 1, 1): what to divide each field by, from standard deviations of the channels' anomalies and of
        their tendencies, both (C, 1, 1)."""
        moved = [i for _, u, v in self.forced for i in (u, v)]
        return torch.cat([std, std, torch.ones_like(std[: 2 * len(self.winds)]), tendency_std[moved]])

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Physical (batch, C, nlat, nlon) -> (batch, outputs, nlat, nlon)."""
        east, north = self.derivatives(state)
        fields = [LENGTH * east, LENGTH * north]
        for u, v in self.winds:
            divergence = east[:, u] + north[:, v] - self._metric * state[:, v]
            vorticity = east[:, v] - north[:, u] + self._metric * state[:, u]
            fields.append(self.seconds * torch.stack([divergence, vorticity], 1))
        for z, u, v in self.forced:
            eastward = self._coriolis * state[:, v] - GRAVITY * east[:, z]
            northward = -self._coriolis * state[:, u] - GRAVITY * north[:, z]
            fields.append(self.seconds * torch.stack([eastward, northward], 1))
        return torch.cat(fields, 1)

    def derivatives(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """To the east and to the north, per metre, of (batch, C, nlat, nlon)."""
        with torch.autocast(state.device.type, enabled=False):  # differences of large numbers
            state = state.float()
            opposite = self._sign * state.roll(state.shape[-1] // 2, -1)
            return state @ self._east / self._cosine, self._north @ state + self._across @ opposite


def eastward(nlon: int) -> npt.NDArray[np.float64]:
    """(nlon, nlon): d/d(longitude) of the trigonometric polynomial through a row's values."""
    waves = np.fft.rfftfreq(nlon, 1 / nlon)
    waves[-1] = 0.0  # the shortest wave's derivative is zero at the points
    return np.fft.irfft(1j * waves[:, None] * np.fft.rfft(np.eye(nlon), axis=0), n=nlon, axis=0)


def northward(latitude: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Two (nlat, nlat): d/d(latitude) at every row, of values on its own meridian and on the opposite one."""
    nlat = len(latitude)
    circle = np.concatenate([np.pi - latitude[::-1], latitude, -np.pi - latitude[::-1]])  # falling
    here, across = np.zeros((nlat, nlat)), np.zeros((nlat, nlat))
    for row in range(nlat):
        first = nlat + row - STENCIL + (row < nlat // 2)  # symmetric about the equator
        nodes = np.arange(first, first + 2 * STENCIL)
        for node, weight in zip(nodes, _derivative(circle[nodes] - latitude[row]), strict=True):
            beyond, place = divmod(node - nlat, nlat)
            if beyond:
                across[row, nlat - 1 - place] += weight
            else:
                here[row, place] += weight
    return here, across


def _derivative(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weights of the values at ``x`` in the derivative at 0 of the polynomial through them."""
    scale = np.abs(x).max()
    powers = np.vander(x / scale, increasing=True).T
    wanted = np.zeros(len(x))
    wanted[1] = 1 / scale
    return np.asarray(np.linalg.solve(powers, wanted))
