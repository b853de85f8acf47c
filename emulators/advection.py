"""Transport along the wind: where the air at each point was one step ago, and what it carried.

A semi-Lagrangian estimate (Robert, 1981) of the largest part of a six-hour tendency, offered to a network as
additional inputs: it is exact physics that a small training set need not teach.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dacycle.channels import Channel
from dacycle.emulators.grid import Grid

__all__ = ["Advection"]

EARTH_RADIUS = 6.371e6
HALO = 3  # columns and rows beyond the edges that the cubic stencil and rounding may ask for


class Advection(nn.Module):
    """Carries each channel with the wind of its own level; channels without wind at their level are left out.

    ``carried``: indices of the channels that are transported.
    """

    def __init__(self, channels: tuple[Channel, ...], grid: Grid, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        index = {(c.variable, c.level_hpa): i for i, c in enumerate(channels)}
        self.levels: list[tuple[int, int, list[int]]] = []
        for level in dict.fromkeys(c.level_hpa for c in channels):
            if ("u", level) in index and ("v", level) in index:
                members = [i for i, c in enumerate(channels) if c.level_hpa == level]
                self.levels.append((index["u", level], index["v", level], members))
        self.carried = [i for _, _, members in self.levels for i in members]
        latitude = torch.from_numpy(np.deg2rad(grid.lat))[:, None]
        longitude = torch.from_numpy(np.deg2rad(grid.lon))[None]
        nothing = torch.zeros(grid.shape, dtype=torch.float64)
        basis = {
            "position": [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin() + nothing],
            "east": [nothing - longitude.sin(), nothing + longitude.cos(), nothing],
            "north": [-latitude.sin() * longitude.cos(), -latitude.sin() * longitude.sin(), latitude.cos() + nothing],
        }
        self.position: torch.Tensor
        self.east: torch.Tensor
        self.north: torch.Tensor
        for name, parts in basis.items():
            self.register_buffer(name, torch.stack(parts).float(), persistent=False)
        # A Gaussian grid is nearly regular in latitude: counted from the row itself, one spacing places a departure
        # point to 0.01 rows, even beyond the poles.
        row = torch.arange(len(latitude))[:, None]
        self.spacing = float(latitude[0, 0] - latitude[-1, 0]) / (len(latitude) - 1)
        self.row_at_equator: torch.Tensor
        self.register_buffer("row_at_equator", (row + latitude / self.spacing).float(), persistent=False)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Physical (batch, C, nlat, nlon) -> the carried channels one step later (batch, carried, nlat, nlon)."""
        return torch.cat([self._carry(state[:, m], state[:, u], state[:, v]) for u, v, m in self.levels], 1)

    def _carry(self, fields: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """``fields`` (batch, n, nlat, nlon) moved along the great circles of the wind (batch, nlat, nlon)."""
        nlat, nlon = fields.shape[-2:]
        speed = torch.sqrt(u * u + v * v + 1e-6)
        angle = speed * (self.seconds / EARTH_RADIUS)
        wind = (u / speed)[:, None] * self.east + (v / speed)[:, None] * self.north
        x, y, z = (angle.cos()[:, None] * self.position - angle.sin()[:, None] * wind).unbind(1)
        row = self.row_at_equator - torch.asin(z.clamp(-0.999999, 0.999999)) / self.spacing
        column = torch.atan2(y, x).remainder(2 * torch.pi) * (nlon / (2 * torch.pi))
        scale_x, scale_y = 2.0 / (nlon + 2 * HALO - 1), 2.0 / (nlat + 2 * HALO - 1)
        where = torch.stack([(column + HALO) * scale_x - 1, (row + HALO) * scale_y - 1], -1)
        return functional.grid_sample(_with_halo(fields), where, mode="bicubic", align_corners=True)


def _with_halo(fields: torch.Tensor) -> torch.Tensor:
    """Rows across the poles and columns around the globe added to (..., nlat, nlon)."""
    half = fields.shape[-1] // 2
    north = fields[..., :HALO, :].flip(-2).roll(half, -1)
    south = fields[..., -HALO:, :].flip(-2).roll(half, -1)
    tall = torch.cat([north, fields, south], -2)
    return torch.cat([tall[..., -HALO:], tall, tall[..., :HALO]], -1)
