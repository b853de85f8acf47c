"""Gaussian conditioning with an isotropic covariance: soundings and forecast together, in spectral space.

With a covariance V (a matrix over channels per degree), soundings H (errors of unit variance) and the forecast term T
(errors R_f), the joint solution of

    [H; T] V [H; T]' + diag(I, R_f)  applied to (z_o, z_f)  =  (r_o, r_f)

follows by block elimination: the forecast's block is closed per degree, and conjugate gradients run over the soundings
alone, with V replaced by what the forecast leaves of it. No call of the network is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.points import PointOperator

__all__ = ["Observations", "Weights", "condition"]


@dataclass(frozen=True)
class Observations:
    """What is known of one time: soundings (``points`` and their scaled ``innovation`` (n,)) and the forecast."""

    points: PointOperator
    innovation: Tensor
    forecast: ForecastTerm | None


@dataclass(frozen=True)
class Weights:
    """Solution of the joint system for m members: z_o (m, n) and z_f (m, channels, l*l) or None.

    ``increment`` (m, channels, L*L): V [H; T]' z, the Gaussian update in scaled coefficients.
    """

    soundings: Tensor
    forecast: Tensor | None
    increment: Tensor
    iterations: int

    def cotangent(self, prior: GaussianPrior, observations: Observations) -> Tensor:
        """[H; T]' z on the grid (m, channels, nlat, nlon): the gradient of the log-likelihood in the state."""
        field = observations.points.adjoint(self.soundings)
        if self.forecast is None or observations.forecast is None:
            return field
        a = _pad(observations.forecast.adjoint(self.forecast), self.increment.shape[-1])
        # Adjoint of the analysis: (Y' W)' = W Y; the scaled coefficients contribute the number of points.
        return field + prior.weights * prior.synthesise(a)


def condition(
    prior: GaussianPrior,
    covariance: Tensor,
    rest: Tensor,
    observations: Observations,
    residual: tuple[Tensor, Tensor | None],
    tolerance: float = 1e-2,
    limit: int = 60,
) -> Weights:
    """Solve the joint system. ``covariance`` (L, channels, channels); ``rest`` (channels,): variance beyond it.

    ``residual``: r_o (m, n) and, with a forecast, r_f (m, channels, l*l). Conjugate gradients, preconditioned by the
    diagonal, stop when every member's residual has fallen by ``tolerance``, or after ``limit`` iterations.
    """
    points, term = observations.points, observations.forecast
    r_o, r_f = residual
    left, solved = covariance, None
    if term is not None and r_f is not None:
        degrees = term.transform.shape[0]
        variance = term.variance[:, torch.arange(degrees, device=rest.device) ** 2].T  # (degrees, channels)
        cross = covariance[:degrees] @ term.transform.transpose(-1, -2)  # V T'
        block = torch.linalg.inv(term.transform @ cross + torch.diag_embed(variance))
        left = torch.cat([covariance[:degrees] - cross @ block @ cross.transpose(-1, -2), covariance[degrees:]])
        block_at, cross_at = (matrix[prior.harmonics.degree[: term.count]] for matrix in (block, cross))
        solved = torch.einsum("kcd,mdk->mck", block_at, r_f)
        first = torch.einsum("kcd,mdk->mck", cross_at, solved)
        r_o = r_o - points.spectral_apply(_pad(first, prior.harmonics.lmax**2))
    own = 1 + rest[points.channel] * points.weights.square().sum(-1)

    def system(z: Tensor) -> Tensor:
        return own * z + points.spectral_apply(prior.per_degree(left, points.spectral_adjoint(z)))

    z_o, iterations = _conjugate_gradients(system, r_o, _diagonal(prior, left, points) + own, tolerance, limit)
    seen = points.spectral_adjoint(z_o)
    increment = prior.per_degree(covariance, seen)
    z_f = None
    if term is not None and solved is not None:
        z_f = solved - torch.einsum("kcd,mdk->mck", block_at, term.apply(increment))
        pushed = _pad(term.adjoint(z_f), prior.harmonics.lmax**2)
        increment = increment + prior.per_degree(covariance, pushed)
    return Weights(z_o, z_f, increment, iterations)


def _diagonal(prior: GaussianPrior, covariance: Tensor, points: PointOperator) -> Tensor:
    """diag(H V H'), with the channels' area-mean variances."""
    modes = 2 * torch.arange(covariance.shape[0], device=covariance.device) + 1
    variance = torch.einsum("l,lcc->c", modes.float(), covariance) / (prior.grid.shape[0] * prior.grid.shape[1])
    return variance[points.channel] * points.weights.sum(-1).square()


def _conjugate_gradients(
    system: Callable[[Tensor], Tensor], r: Tensor, diagonal: Tensor, tolerance: float, limit: int
) -> tuple[Tensor, int]:
    """Solve system(z) = r for each row of ``r`` (m, n), preconditioned by ``diagonal`` (n,)."""
    z = torch.zeros_like(r)
    if r.shape[1] == 0:
        return z, 0
    start = r.norm(dim=1).clamp_min(1e-30)
    p = r / diagonal
    rho = (r * p).sum(1, keepdim=True)
    for iteration in range(1, limit + 1):
        q = system(p)
        alpha = rho / (p * q).sum(1, keepdim=True).clamp_min(1e-30)
        z, r = z + alpha * p, r - alpha * q
        if bool((r.norm(dim=1) <= tolerance * start).all()):
            return z, iteration
        s = r / diagonal
        rho, previous = (r * s).sum(1, keepdim=True), rho
        p = s + rho / previous.clamp_min(1e-30) * p
    return z, limit


def _pad(a: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(a, (0, length - a.shape[-1]))
