"""Soundings and forecast as one vector of values with errors of unit variance, for methods that treat them alike."""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gain import Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = ["Stacked"]


class Stacked:
    """y = H x + e, e ~ N(0, I), over N = n + channels * l*l values: the soundings, then the forecast's coefficients.

    ``values`` (N,), or (m, N) where each member has an innovation of its own.
    """

    def __init__(self, prior: GaussianPrior, observations: Observations) -> None:
        self.prior, self.points, self.term = prior, observations.points, observations.forecast
        parts = [observations.innovation]
        if self.term is not None:
            self._error = self.term.variance.sqrt()
            own = (self.term.values / self._error).flatten()
            parts.append(own.expand(*observations.innovation.shape[:-1], -1))
        self.values = torch.cat(parts, -1)

    def __len__(self) -> int:
        return self.values.shape[-1]

    def apply(self, x: Tensor) -> Tensor:
        """H x: (m, channels, nlat, nlon) -> (m, N)."""
        parts = [self.points.apply(x)]
        if self.term is not None:
            parts.append((self.term.apply(self.prior.analyse(x)) / self._error).flatten(1))
        return torch.cat(parts, 1)

    def adjoint(self, z: Tensor) -> Tensor:
        """H' z: (m, N) -> (m, channels, nlat, nlon)."""
        n = len(self.points)
        field = self.points.adjoint(z[:, :n])
        if self.term is None:
            return field
        a = self.term.adjoint(z[:, n:].view(-1, *self._error.shape) / self._error)
        a = torch.nn.functional.pad(a, (0, self.prior.harmonics.lmax**2 - a.shape[-1]))
        # The adjoint of the analysis: (Y' W)' = W Y; scaled coefficients contribute the number of points.
        return field + self.prior.weights * self.prior.synthesise(a)

    def variance(self, per_channel: Tensor) -> Tensor:
        """diag(H V H') (N,) of a V that is white in space, with variance ``per_channel`` (channels,)."""
        parts = [per_channel[self.points.channel] * self.points.weights.sum(-1).square()]
        if self.term is not None:
            degree = self.prior.harmonics.degree[: self.term.count]
            seen = torch.einsum("lcd,d->lc", self.term.transform.square(), per_channel)[degree].T
            parts.append((seen / self.term.variance).flatten())
        return torch.cat(parts)
