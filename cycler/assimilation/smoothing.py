"""Fields smoothed on the sphere: of each degree of their harmonics so much is kept, in the tropics and beyond them."""

import torch
from torch import Tensor, nn

from dacycle.emulators.grid import Grid
from dacycle.emulators.spectral import Harmonics, degree_of

__all__ = ["Smoothing", "tropics"]

TROPICS, BEYOND = 10.0, 40.0
"""Degrees of latitude, north and south: up to the first it is the tropics' share that counts, from the second on the
other, linearly mixed between."""


class Smoothing(nn.Module):
    """F = sum over k of U_k Y diag(s_k) Y' W, with the harmonics Y of the grid's points and its quadrature weights W;
    U_k: by how much a latitude belongs to the tropics (k = 0) and to what lies beyond them (k = 1)."""

    kept: Tensor
    belongs: Tensor
    _weights: Tensor

    def __init__(self, grid: Grid, kept: Tensor) -> None:
        """``kept`` (2, degrees): s; nothing of higher degrees is kept. ValueError where the grid has not so many."""
        super().__init__()
        self.harmonics = Harmonics(grid, kept.shape[1])
        within = tropics(grid)
        weights = torch.as_tensor(grid.weights, dtype=torch.float32)[:, None]
        self.register_buffer("kept", kept.float())
        self.register_buffer("belongs", torch.stack([within, 1 - within])[..., None], persistent=False)
        self.register_buffer("_weights", weights, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """F x, both (..., nlat, nlon)."""
        a, degree = self.harmonics.analyse(x), self.harmonics.degree
        parts = self.harmonics.synthesise(torch.stack([a * kept[degree] for kept in self.kept]))
        smoothed: Tensor = parts[0] * self.belongs[0] + parts[1] * self.belongs[1]
        return smoothed

    def adjoint(self, g: Tensor) -> Tensor:
        """F' g = W sum over k of Y diag(s_k) Y' U_k g; a factor common to all weights does not matter."""
        degree = self.harmonics.degree
        a = self.harmonics.analyse(torch.stack([g / self._weights * belongs for belongs in self.belongs]))
        moved = sum((part * kept[degree] for part, kept in zip(a, self.kept, strict=True)), torch.zeros_like(a[0]))
        back: Tensor = self.harmonics.synthesise(moved) * self._weights
        return back

    def at(self, corners: Tensor, interpolation: Tensor, degrees: int) -> Tensor:
        """(places, degrees^2): what is kept of every coefficient at places between the grid's ``corners`` (places,
        4)."""
        rows = self.belongs[..., 0][:, corners // self.harmonics.grid.shape[1]]  # (2, places, 4)
        kept = self.kept.new_zeros(2, max(degrees, self.kept.shape[1]))
        kept[:, : self.kept.shape[1]] = self.kept
        shares: Tensor = (rows * interpolation).sum(-1).T @ kept[:, degree_of(degrees).to(kept.device)]
        return shares


def tropics(grid: Grid) -> Tensor:
    """(nlat,): by how much a latitude belongs to the tropics."""
    lat = torch.as_tensor(grid.lat, dtype=torch.float32).abs()
    return ((BEYOND - lat) / (BEYOND - TROPICS)).clamp(0.0, 1.0)
