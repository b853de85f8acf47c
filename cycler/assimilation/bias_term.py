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

from dacycle.cycler.assimilation.adaptation import Adaptation, zonal_basis
from dacycle.cycler.assimilation.bias_patterns import bias_operator
from dacycle.cycler.assimilation.gain import Conditioner
from dacycle.cycler.assimilation.noise import MemberNoise

__all__ = ["BiasTerm"]


class BiasTerm:
    """beta of all patterns that show, as one vector (q,), given a situation's soundings and forecast."""

    def __init__(self, system: Conditioner, adaptation: Adaptation, felt: npt.NDArray[np.float64]) -> None:
        """``felt`` (channels, degrees): the share of every pattern that shows in the innovation; what is zero is not
        solved for."""
        self._system = system
        points, device = system.observations.points, system.prior.rest.device
        self._felt = torch.as_tensor(felt, dtype=torch.float32, device=device)
        self._channel, self._degree = torch.nonzero(self._felt, as_tuple=True)
        values = bias_operator(points, system.prior, adaptation) * self._felt[points.channel].T
        own = self._channel[:, None] == points.channel
        self._operator = torch.where(own, values[self._degree], 0)  # G' (q, n)
        covariance = torch.as_tensor(adaptation.bias_covariance, device=device)
        together = covariance[self._channel[:, None], self._degree[:, None], self._degree]
        self._covariance = torch.where(self._channel[:, None] == self._channel, together, 0)

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
        coefficients = beta.new_zeros(len(beta), *self._felt.shape)
        coefficients[:, self._channel, self._degree] = beta * self._felt[self._channel, self._degree]
        zonal: Tensor = coefficients @ torch.as_tensor(basis, device=beta.device)
        return zonal[..., None]
