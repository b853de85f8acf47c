"""Gaussian conditioning with an isotropic covariance: soundings and forecast together, in spectral space.

With a covariance V (a matrix over channels per degree), soundings H (errors of unit variance) and the forecast term T
(errors R_f), the joint solution of

    [H; T] V [H; T]' + diag(I, R_f)  applied to (z_o, z_f)  =  (r_o, r_f)

follows by block elimination: the forecast's block is closed per degree, and what remains is a system over the
soundings alone, with V replaced by what the forecast leaves of it. It is factorised where exactness is asked for, and
else solved by conjugate gradients, for all members together. No call of the network is needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.points import DENSE_LIMIT, PointOperator

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
    tolerance: float | None = 1e-2,
) -> Weights:
    """Solve the joint system. ``covariance`` (L, channels, channels); ``rest`` (channels,): variance beyond it.

    ``residual``: r_o (m, n) and, with a forecast, r_f (m, channels, l*l). ``tolerance``: how far every member's
    residual must fall; None: exactly, by Cholesky.
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

    z_o = _solve(prior, left, own, points, r_o, tolerance)
    seen = points.spectral_adjoint(z_o)
    increment = prior.per_degree(covariance, seen)
    z_f = None
    if term is not None and solved is not None:
        z_f = solved - torch.einsum("kcd,mdk->mck", block_at, term.apply(increment))
        pushed = _pad(term.adjoint(z_f), prior.harmonics.lmax**2)
        increment = increment + prior.per_degree(covariance, pushed)
    return Weights(z_o, z_f, increment)


def _solve(
    prior: GaussianPrior, covariance: Tensor, own: Tensor, points: PointOperator, r: Tensor, tolerance: float | None
) -> Tensor:
    """(H V H' + diag(own))^-1 r for each row of ``r`` (m, n)."""
    if len(points) > DENSE_LIMIT:

        def apply(z: Tensor) -> Tensor:
            return own * z + points.spectral_apply(prior.per_degree(covariance, points.spectral_adjoint(z)))

        modes = 2 * torch.arange(len(covariance), device=own.device) + 1
        variance = torch.einsum("l,lcc->c", modes.float(), covariance) / prior.scale**2 / (4 * math.pi)
        diagonal = own + variance[points.channel] * points.weights.sum(-1).square()
        return _conjugate_gradients(apply, r, diagonal, 1e-3 if tolerance is None else tolerance)
    matrix = points.matrix(covariance)
    matrix.diagonal().add_(own)
    if tolerance is None:
        return torch.cholesky_solve(r.T, torch.linalg.cholesky(matrix)).T
    return _conjugate_gradients(lambda z: z @ matrix, r, matrix.diagonal(), tolerance)


def _conjugate_gradients(
    apply: Callable[[Tensor], Tensor], r: Tensor, diagonal: Tensor, tolerance: float, limit: int = 200
) -> Tensor:
    """Solve apply(z) = r for each row of ``r`` (m, n), preconditioned by ``diagonal`` (n,)."""
    z = torch.zeros_like(r)
    if r.shape[1] == 0:
        return z
    start = r.norm(dim=1).clamp_min(1e-30)
    p = r / diagonal
    rho = (r * p).sum(1, keepdim=True)
    for _ in range(limit):
        q = apply(p)
        alpha = rho / (p * q).sum(1, keepdim=True).clamp_min(1e-30)
        z, r = z + alpha * p, r - alpha * q
        if bool((r.norm(dim=1) <= tolerance * start).all()):
            break
        s = r / diagonal
        rho, previous = (r * s).sum(1, keepdim=True), rho
        p = s + rho / previous.clamp_min(1e-30) * p
    return z


def _pad(a: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(a, (0, length - a.shape[-1]))
