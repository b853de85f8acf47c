"""The losses of LUCIE (Guan et al., arXiv 2405.16297), carried over to rollouts of several steps."""

from dataclasses import dataclass

import numpy as np
import torch

from dacycle.emulators.grid import Grid
from dacycle.emulators.lucie import Lucie

__all__ = ["Losses", "Targets"]

MID_LATITUDES = (30.0, 60.0)  # degrees; the published rows 7:15 and 32:40 of 48


@dataclass(frozen=True)
class Targets:
    """What a rollout of k steps is compared with.

    ``states`` (k + 1, batch, C, nlat, nlon) standardised, the first one being the start; ``insolation`` (k, batch,
    nlat, nlon) standardised, at the beginning of each step; ``water`` (k, batch, nlat, nlon) standardised log
    precipitation at the end of each step.
    """

    states: torch.Tensor
    insolation: torch.Tensor
    water: torch.Tensor


class Losses:
    """Relative error on the sphere, precipitation, and the zonal spectrum of the mid-latitudes."""

    def __init__(self, grid: Grid, regulariser: float, device: str = "cpu") -> None:
        self.area = torch.from_numpy(grid.weights.copy()).float()[:, None].to(device)
        rows = (np.abs(grid.lat) >= MID_LATITUDES[0]) & (np.abs(grid.lat) <= MID_LATITUDES[1])
        self.rows = torch.from_numpy(np.flatnonzero(rows)).to(device)
        self.regulariser = regulariser

    def rollout(self, lucie: Lucie, targets: Targets, spectral: bool) -> torch.Tensor:
        """Mean over steps k of |p_k - x_k|^2 / |x_k - x_0|^2, plus precipitation / outputs, plus the regulariser.

        Differences are in units of the six-hourly tendency's standard deviation and area-weighted; the first step is
        the published loss.
        """
        scale = lucie.std / lucie.tendency_std
        z, total = targets.states[0], targets.states.new_zeros(())
        steps = len(targets.insolation)
        for k in range(steps):
            before = z
            z, water = lucie.step(z, targets.insolation[k])
            wanted = targets.states[k + 1]
            relative = self._square((z - wanted) * scale) / self._square((wanted - targets.states[0]) * scale)
            rain = (water - targets.water[k]).square().mean()
            total = total + relative.mean() + rain / (z.shape[1] + 1)
            if spectral:
                moved, should = (z - before) * scale, (wanted - targets.states[k]) * scale
                pairs = torch.cat([moved, water[:, None]], 1), torch.cat([should, targets.water[k][:, None]], 1)
                total = total + self.regulariser * self._spectral_distance(*pairs)
        return total / steps

    def _square(self, x: torch.Tensor) -> torch.Tensor:
        """Area mean of squares (batch,), summed over channels."""
        return (x.square() * self.area).mean((-2, -1)).sum(-1)

    def _spectral_distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """mean | <|rfft x|> - <|rfft y|> |, < > over the mid-latitude rows."""
        amplitudes = [torch.fft.rfft(f[..., self.rows, :]).abs().mean(-2) for f in (x, y)]
        return torch.mean((amplitudes[0] - amplitudes[1]).abs())
