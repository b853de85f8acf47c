"""Gaussian conditioning with an isotropic covariance: soundings and forecast together, in spectral space.

With a covariance V (a matrix over channels per degree), soundings H (errors of unit variance) and the forecast term T
(errors R_f), the joint solution of

    [H; T] V [H; T]' + diag(I, R_f)  applied to (z_o, z_f)  =  (r_o, r_f)

follows by block elimination: the forecast's block is closed per degree, and what remains is a system over the
soundings alone, with V replaced by what the forecast leaves of it. It is factorised where exactness is asked for, and
else solved by conjugate gradients over its factors, for all members together. No call of the network is needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import SpectralTerm
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.points import DENSE_LIMIT, PointOperator

__all__ = ["Conditioner", "Observations", "Weights", "pad"]


@dataclass(frozen=True)
class Observations:
    """What is known of one time: soundings (``points`` and their scaled ``innovation`` (n,)) and the forecast."""

    points: PointOperator
    innovation: Tensor
    forecast: SpectralTerm | None


@dataclass(frozen=True)
class Weights:
    """Solution of the joint system for m members: z_o (m, n) and z_f (m, channels, l*l) or None.

    ``increment`` (m, channels, L*L): V [H; T]' z, the Gaussian update in scaled coefficients.
    """

    soundings: Tensor
    forecast: Tensor | None
    increment: Tensor

    def cotangent(self, prior: GaussianPrior, observations: Observations) -> Tensor:
        """[H; T]' z on the grid (m, channels, nlat, nlon): the gradient of the log-likelihood in the state."""
        field = observations.points.adjoint(self.soundings)
        if self.forecast is None or observations.forecast is None:
            return field
        a = pad(observations.forecast.adjoint(self.forecast), self.increment.shape[-1])
        # Adjoint of the analysis: (Y' W)' = W Y; the scaled coefficients contribute the number of points.
        return field + prior.weights * prior.synthesise(a)


class Conditioner:
    """The joint system at one noise level, the forecast's block eliminated; solved for any number of residuals."""

    def __init__(self, prior: GaussianPrior, covariance: Tensor, rest: Tensor, observations: Observations) -> None:
        """``covariance`` (L, channels, channels); ``rest`` (channels,): variance beyond it."""
        self.prior, self.covariance, self.observations = prior, covariance, observations
        points, term = observations.points, observations.forecast
        self._left = covariance
        if term is not None:
            degrees = term.transform.shape[0]
            variance = term.variance[:, torch.arange(degrees, device=rest.device) ** 2].T  # (degrees, channels)
            cross = covariance[:degrees] @ term.transform.transpose(-1, -2)  # V T'
            block = torch.linalg.inv(term.transform @ cross + torch.diag_embed(variance))
            seen = cross @ block @ cross.transpose(-1, -2)
            self._left = torch.cat([covariance[:degrees] - seen, covariance[degrees:]])
            self._block_at, self._cross_at = (matrix[prior.harmonics.degree[: term.count]] for matrix in (block, cross))
        self._own = 1 + rest[points.channel] * points.weights.square().sum(-1)

    def solve(
        self, residual: tuple[Tensor, Tensor | None], tolerance: float | None = 1e-2, guess: Tensor | None = None
    ) -> Weights:
        """``residual``: r_o (m, n) and, with a forecast, r_f (m, channels, l*l).

        ``tolerance``: how far every member's residual must fall; None: exactly, by Cholesky. ``guess`` (m, n): where
        to begin, as the weights of a neighbouring noise level.
        """
        prior, points, term = self.prior, self.observations.points, self.observations.forecast
        r_o, r_f = residual
        solved = None
        if term is not None and r_f is not None:
            solved = torch.einsum("kcd,mdk->mck", self._block_at, r_f)
            first = torch.einsum("kcd,mdk->mck", self._cross_at, solved)
            r_o = r_o - points.spectral_apply(pad(first, prior.harmonics.lmax**2))
        if tolerance is None and len(points) <= DENSE_LIMIT:
            z_o = torch.cholesky_solve(r_o.T, self._factor).T
        else:
            z_o = _conjugate_gradients(
                self._apply, r_o, self._diagonal, 1e-3 if tolerance is None else tolerance, guess
            )
        increment = prior.per_degree(self.covariance, points.spectral_adjoint(z_o))
        z_f = None
        if term is not None and solved is not None:
            z_f = solved - torch.einsum("kcd,mdk->mck", self._block_at, term.apply(increment))
            pushed = pad(term.adjoint(z_f), prior.harmonics.lmax**2)
            increment = increment + prior.per_degree(self.covariance, pushed)
        return Weights(z_o, z_f, increment)

    def _apply(self, z: Tensor) -> Tensor:
        """(H V H' + own) z for each row of z (m, n), by its factors: cheaper than the matrix for tens of products."""
        points = self.observations.points
        return self._own * z + points.spectral_apply(self.prior.per_degree(self._left, points.spectral_adjoint(z)))

    @cached_property
    def _diagonal(self) -> Tensor:
        """The diagonal of that, but for the distance between a value's corners."""
        points = self.observations.points
        modes = 2 * torch.arange(len(self._left), device=self._own.device) + 1
        variance = torch.einsum("l,lcc->c", modes.float(), self._left) / self.prior.scale**2 / (4 * math.pi)
        return self._own + variance[points.channel] * points.weights.sum(-1).square()

    @cached_property
    def _factor(self) -> Tensor:
        """Cholesky factor (n, n), made once for all members."""
        matrix = self.observations.points.matrix(self._left)
        matrix.diagonal().add_(self._own)
        factor: Tensor = torch.linalg.cholesky(matrix)
        return factor


def _conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    r: Tensor,
    diagonal: Tensor,
    tolerance: float,
    guess: Tensor | None = None,
    limit: int = 200,
) -> Tensor:
    """Solve apply(z) = r for each row of ``r`` (m, n), preconditioned by ``diagonal`` (n,)."""
    z = torch.zeros_like(r) if guess is None else guess
    if r.shape[1] == 0:
        return z
    enough = tolerance * r.norm(dim=1).clamp_min(1e-30)
    if guess is not None:
        r = r - apply(guess)
    p = r / diagonal
    rho = (r * p).sum(1, keepdim=True)
    for _ in range(limit):
        if bool((r.norm(dim=1) <= enough).all()):
            break
        q = apply(p)
        alpha = rho / (p * q).sum(1, keepdim=True).clamp_min(1e-30)
        z, r = z + alpha * p, r - alpha * q
        s = r / diagonal
        rho, previous = (r * s).sum(1, keepdim=True), rho
        p = s + rho / previous.clamp_min(1e-30) * p
    return z


def pad(a: Tensor, length: int) -> Tensor:
    """Coefficients (..., k) with zeros up to ``length``."""
    return torch.nn.functional.pad(a, (0, length - a.shape[-1]))
