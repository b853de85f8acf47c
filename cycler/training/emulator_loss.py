"""The losses of LUCIE (Guan et al., arXiv 2405.16297), carried over to rollouts of several steps."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dacycle.emulators.grid import Grid
from dacycle.emulators.lucie import Lucie
from dacycle.emulators.spectral import Harmonics

__all__ = ["Losses", "Scales", "Targets"]

MID_LATITUDES = (30.0, 60.0)  # degrees; the published rows 7:15 and 32:40 of 48
SAMPLES = 200


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


class Scales:
    """The error of every spherical-harmonic degree and channel, relative to how much it changes until that step.

    The published loss sees the scales that hold most of the variance; a free run of months is decided by the others.
    """

    def __init__(self, grid: Grid, states: torch.Tensor, starts: npt.NDArray[np.int64], steps: int) -> None:
        """``states`` (T, C, nlat, nlon) standardised, ``starts`` from which ``steps`` further ones follow."""
        self.harmonics = Harmonics(grid, min(grid.shape[0], grid.shape[1] // 2)).to(states.device)
        chosen = torch.from_numpy(starts[:: max(1, len(starts) // SAMPLES)])
        power = [self.power(states[chosen + k] - states[chosen]) for k in range(1, steps + 1)]
        self.change = torch.stack(power).clamp_min(1e-12)  # (steps, C, degrees)

    def power(self, x: torch.Tensor) -> torch.Tensor:
        """Variance per degree (C, degrees) of x (batch, C, nlat, nlon)."""
        with torch.autocast(x.device.type, enabled=False):
            squares = self.harmonics.analyse(x.float()).square().mean(0)
            blank = squares.new_zeros(len(squares), self.harmonics.lmax)
            return blank.index_add(1, self.harmonics.degree, squares)

    def error(self, difference: torch.Tensor, step: int) -> torch.Tensor:
        """Mean over channels and degrees of the relative error, after ``step`` + 1 steps; 1 for persistence."""
        return (self.power(difference) / self.change[step]).mean()


class Losses:
    """Relative error on the sphere, precipitation, error of each degree, zonal spectrum of the mid-latitudes."""

    def __init__(self, grid: Grid, regulariser: float, of_degrees: float = 0.0, device: str = "cpu") -> None:
        self.area = torch.from_numpy(grid.weights.copy()).float()[:, None].to(device)
        rows = (np.abs(grid.lat) >= MID_LATITUDES[0]) & (np.abs(grid.lat) <= MID_LATITUDES[1])
        self.rows = torch.from_numpy(np.flatnonzero(rows)).to(device)
        self.regulariser, self.of_degrees = regulariser, of_degrees

    def rollout(self, lucie: Lucie, targets: Targets, spectral: bool, scales: Scales | None = None) -> torch.Tensor:
        """Mean over steps k of |p_k - x_k|^2 / |x_k - x_0|^2, plus precipitation / outputs, plus the regulariser
        and, with ``scales``, the errors per degree.

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
            if scales is not None:
                total = total + self.of_degrees * scales.error(z - wanted, k)
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
