"""The set of states that the climate visits, as far as second moments know it, and how a forecast is kept on it.

A network trained on a limited set of states knows no restoring force where no state of that set has been: a free run
finds such directions (small scales near the poles, temperatures that no geopotential supports) and grows along them for
months. So, per degree of the spherical harmonics, the anomaly from the climate of the date is split into the
eigenvectors of the climatological covariance of all channels; a step may not carry the variance of one of them, in a
group of neighbouring degrees and orders, beyond what the climate shows. Forecasts from real states hardly change; a
free run is bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import torch
from torch import Tensor, nn

from dacycle.emulators.grid import Grid
from dacycle.emulators.season import season_basis
from dacycle.emulators.spectral import Harmonics

__all__ = ["Attractor", "AttractorStatistics", "cells"]

WIDTH = 3.0
"""Standard deviations by which the mean of a cell's Gaussian squares may exceed one."""
BAND = 4
"""Orders, and beyond degree 2 BAND degrees, that share a cell. Cells know orders because instabilities do: one of zonal
bands, bounded together with all orders of its degree, would drain the waves."""
RETURN = 0.97
"""What a step keeps at most of a variance that is beyond its bound: half of the excess is gone after six days."""


@dataclass(frozen=True)
class AttractorStatistics:
    """Of standardised states. ``climate`` (5, C, nlat, nlon): mean and two annual harmonics; ``vectors`` (degrees, C,
    C): eigenvectors, in columns, of the anomalies' covariance per degree; ``variances`` (C, degrees^2) along them, of
    each coefficient."""

    climate: Tensor
    vectors: Tensor
    variances: Tensor

    @classmethod
    def blank(cls, channels: int, nlat: int, nlon: int) -> "AttractorStatistics":
        """Placeholders of the stored shapes, to be filled from a file."""
        degrees = min(nlat, nlon // 2)
        vectors = torch.eye(channels).repeat(degrees, 1, 1)
        return cls(torch.zeros(5, channels, nlat, nlon), vectors, torch.ones(channels, degrees**2))


def cells(degrees: int) -> Tensor:
    """Which coefficients (degrees^2,) are bounded together: those of neighbouring degrees and orders."""
    numbers: dict[tuple[int, int], int] = {}
    found = []
    for degree in range(degrees):
        band = degree if degree < 2 * BAND else BAND + degree // BAND
        for place in range(2 * degree + 1):
            order = (place + 1) // 2
            found.append(numbers.setdefault((band, order // BAND), len(numbers)))
    return torch.tensor(found)


class Attractor(nn.Module):
    """Truncates to the degrees that the grid resolves, and bounds what they hold."""

    climate: Tensor
    vectors: Tensor
    variances: Tensor
    cell: Tensor
    count: Tensor

    def __init__(self, grid: Grid, statistics: AttractorStatistics) -> None:
        super().__init__()
        degrees = len(statistics.vectors)
        self.harmonics = Harmonics(grid, degrees)
        for name, value in vars(statistics).items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        cell = cells(degrees)
        self.register_buffer("cell", cell, persistent=False)
        self.register_buffer("count", torch.bincount(cell).float(), persistent=False)

    def truncate(self, z: Tensor) -> Tensor:
        """Standardised (batch, C, nlat, nlon) without what no state of the triangular truncation holds."""
        with torch.autocast(z.device.type, enabled=False):
            return self.harmonics.synthesise(self.harmonics.analyse(z.float()))

    def forward(self, z: Tensor, times: Sequence[datetime], before: Tensor, times_before: Sequence[datetime]) -> Tensor:
        """Standardised states (batch, C, nlat, nlon) at ``times``, one each or one for all, bounded.

        Where the states ``before`` the step were already beyond the bounds, as real states of a climate that differs
        from the one of the training may be, what they held, less a little, is allowed.
        """
        b, power = self.power(z, times)
        bound = (1 + WIDTH * (2 / self.count).sqrt()).maximum(RETURN * self.power(before, times_before)[1])
        kept = (bound / power.clamp_min(1e-30)).clamp_max(1).sqrt()
        a = torch.einsum("kcd,ndk->nck", self.vectors[self.harmonics.degree], b * kept[..., self.cell])
        return self.state(a, times)

    def anomaly(self, z: Tensor, times: Sequence[datetime]) -> Tensor:
        """Coefficients (batch, C, L*L) of the anomaly of ``z`` (batch, C, nlat, nlon) from the climate at ``times``."""
        return self.harmonics.analyse(z - self._climate_of(times))

    def state(self, a: Tensor, times: Sequence[datetime]) -> Tensor:
        """The inverse of ``anomaly``, for what the grid resolves."""
        return self._climate_of(times) + self.harmonics.synthesise(a)

    def power(self, z: Tensor, times: Sequence[datetime]) -> tuple[Tensor, Tensor]:
        """Anomalies in terms of the eigenvectors (batch, C, L*L), and per cell their variance relative to the climate's
        (batch, C, cells)."""
        b = torch.einsum("kcd,nck->ndk", self.vectors[self.harmonics.degree], self.anomaly(z, times))
        total = b.new_zeros(*b.shape[:2], len(self.count)).index_add_(2, self.cell, b.square() / self.variances)
        return b, total / self.count

    def _climate_of(self, times: Sequence[datetime]) -> Tensor:
        basis = torch.from_numpy(np.stack([season_basis(time) for time in times]))
        return torch.einsum("nb,bcij->ncij", basis.to(self.climate.device), self.climate)
