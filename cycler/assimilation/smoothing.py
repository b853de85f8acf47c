"""Fields smoothed on the sphere: of each degree of their harmonics so much is kept."""

import torch
from torch import Tensor, nn

from dacycle.emulators.grid import Grid
from dacycle.emulators.spectral import Harmonics

__all__ = ["Smoothing"]


class Smoothing(nn.Module):
    """F = Y diag(k) Y' W, with the harmonics Y of the grid's points and its quadrature weights W."""

    kept: Tensor
    _weights: Tensor

    def __init__(self, grid: Grid, kept: Tensor) -> None:
        """``kept`` (degrees,): k; nothing of higher degrees is kept. ValueError where the grid has not so many."""
        super().__init__()
        self.harmonics = Harmonics(grid, len(kept))
        self.register_buffer("kept", kept.float())
        weights = torch.as_tensor(grid.weights, dtype=torch.float32)[:, None]
        self.register_buffer("_weights", weights, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """F x, both (..., nlat, nlon)."""
        return self.harmonics.synthesise(self.harmonics.analyse(x) * self.kept[self.harmonics.degree])

    def adjoint(self, g: Tensor) -> Tensor:
        """F' g = W F W^-1 g; a factor common to all weights does not matter."""
        smoothed: Tensor = self(g / self._weights)
        return self._weights * smoothed
