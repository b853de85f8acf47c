"""The bias of the bundle's climate, solved jointly with the state.

The innovation is d = H x + G beta + e, with beta ~ N(0, S) the zonal coefficients of all channels. With M the
covariance of H x + e (the forecast already taken into account), and r the innovation less what the forecast explains,

    beta | d ~ N(L^-1 G' M^-1 r, L^-1),    L = S^-1 + G' M^-1 G.

A member draws its beta from this, and then its state given d - G beta: together a draw of the joint posterior, whatever
conditions x. Only this term knows of beta; guidance and sampler see a member's own innovation. Of patterns that do not
show in full beside a forecast (``bias_patterns.py``), G and what is added to the state have the part that shows.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adaptation import ZONAL_DEGREES, Adaptation, zonal_basis
from dacycle.cycler.assimilation.bias_patterns import bias_operator
from dacycle.cycler.assimilation.gain import Conditioner
from dacycle.cycler.assimilation.noise import MemberNoise

__all__ = ["BiasTerm"]


class BiasTerm:
    """beta of all channels, as one vector (channels * degrees,), given a situation's soundings and forecast."""

    def __init__(self, system: Conditioner, adaptation: Adaptation, felt: npt.NDArray[np.float64]) -> None:
        """``felt`` (channels, degrees): the share of every pattern that shows in the innovation."""
        self._system = system
        prior, points = system.prior, system.observations.points
        n, device = prior.channels, prior.rest.device
        rows = points.channel * ZONAL_DEGREES
        self._operator = torch.zeros(n * ZONAL_DEGREES, len(points), device=device)  # G'
        values = bias_operator(points, prior, adaptation)
        self._felt = torch.as_tensor(felt, dtype=torch.float32, device=device)
        values = values * self._felt[points.channel].T
        for k in range(ZONAL_DEGREES):
            self._operator[rows + k, torch.arange(len(points), device=device)] = values[k]
        self._covariance = _block_diagonal(torch.as_tensor(adaptation.bias_covariance, device=device))

    @cached_property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean (q,) and covariance (q, q) of beta - its expectation."""
        observations = self._system.observations
        departure = observations.innovation - observations.points.spectral_apply(self._system.expected)
        weighed, residual = self._system.weigh(self._operator).double(), self._system.weigh(departure)[0].double()
        g = self._operator.double()
        unit = torch.eye(len(g), dtype=torch.float64, device=g.device)
        covariance = torch.linalg.solve(unit + self._covariance @ (g @ weighed.T), self._covariance)
        covariance = (covariance + covariance.T) / 2
        return covariance @ (g @ residual), covariance

    def draw(self, members: Sequence[MemberNoise]) -> Tensor:
        """One beta per member (m, q)."""
        mean, covariance = self.posterior
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp_min(0).sqrt()
        white = torch.stack([member.draw((len(mean),)) for member in members]).to(mean.device).double()
        drawn: Tensor = mean + white @ root.T
        return drawn.float()

    def innovation(self, beta: Tensor) -> Tensor:
        """d - G beta (m, n)."""
        return self._system.observations.innovation - beta @ self._operator

    def field(self, beta: Tensor) -> Tensor:
        """What of b shows (m, channels, nlat, 1), in units of the bundle's standard deviation."""
        basis = zonal_basis(self._system.prior.grid.lat).astype(np.float32)
        coefficients = beta.view(len(beta), -1, ZONAL_DEGREES) * self._felt
        zonal: Tensor = coefficients @ torch.as_tensor(basis, device=beta.device)
        return zonal[..., None]


def _block_diagonal(blocks: Tensor) -> Tensor:
    """(k, d, d) -> (k d, k d)."""
    k, d = blocks.shape[:2]
    full = blocks.new_zeros(k, d, k, d)
    full[torch.arange(k), :, torch.arange(k)] = blocks
    return full.reshape(k * d, k * d)
