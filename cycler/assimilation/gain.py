"""Gaussian conditioning: soundings and forecast together, in spectral space.

With a covariance V (a matrix over channels per degree), soundings H (errors of unit variance) and the forecast term T
(errors R_f), the joint solution of

    [H; T] V [H; T]' + diag(I, R_f)  applied to (z_o, z_f)  =  (r_o, r_f)

follows by block elimination: the forecast's block is closed per degree (``background.py``), and what remains is a
system over the soundings alone, with V replaced by what the forecast leaves of it. It is factorised where exactness is
asked for, and else solved by conjugate gradients over its factors, for all members together. No call of the network is
needed.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dacycle.cycler.assimilation.background import Background, EvenBackground, LocalBackground, pad
from dacycle.cycler.assimilation.conjugate_gradients import conjugate_gradients
from dacycle.cycler.assimilation.forecast_term import SpectralTerm
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.local_term import LocalTerm
from dacycle.cycler.assimilation.points import DENSE_LIMIT, PointOperator

__all__ = ["Conditioner", "Observations", "Weights"]

FEW = 2  # residuals; making and factorising H V H' takes longer than conjugate gradients for so many


@dataclass(frozen=True)
class Observations:
    """What is known of one time: soundings (``points`` and their scaled ``innovation`` (n,)) and the forecast.

    ``local``: the forecast with an error that differs from place to place, for methods that can; else ``forecast``.
    """

    points: PointOperator
    innovation: Tensor
    forecast: SpectralTerm | None
    local: LocalTerm | None = None

    def misfit(self, a: Tensor) -> Tensor | None:
        """What the forecast says less what scaled coefficients ``a`` (m, channels, L*L) say: (m, channels, l*l), with
        an axis of nodes before the channels where it differs from place to place; None without a forecast."""
        if self.local is not None:
            return self.local.misfit(a)
        return None if self.forecast is None else self.forecast.values - self.forecast.apply(a)


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

    def __init__(
        self,
        prior: GaussianPrior,
        covariance: Tensor,
        rest: Tensor,
        observations: Observations,
        factored: bool = False,
    ) -> None:
        """``covariance`` (L, channels, channels); ``rest`` (channels,): variance beyond it. ``factored``: the factor is
        made anyway, so that few residuals are solved by it, too."""
        self.prior, self.covariance, self.observations, self._factored = prior, covariance, observations, factored
        points = observations.points
        self.background: Background
        if observations.local is not None:
            self.background = LocalBackground(prior, covariance, points, observations.local)
        else:
            self.background = EvenBackground(prior, covariance, points, observations.forecast)
        self._own = 1 + points.rest(rest)

    @cached_property
    def expected(self) -> Tensor:
        """(1, channels, L*L): the mean of the state given the forecast alone."""
        nothing = torch.zeros(1, self.prior.channels, self.prior.harmonics.lmax**2, device=self.covariance.device)
        said = self.observations.misfit(nothing)
        return nothing if said is None else self.background.move(said)

    def solve(
        self, residual: tuple[Tensor, Tensor | None], tolerance: float | None = 1e-2, guess: Tensor | None = None
    ) -> Weights:
        """``residual``: r_o (m, n) and, with a forecast, r_f as ``Observations.misfit`` has it.

        ``tolerance``: how far every member's residual must fall; None: exactly by Cholesky, or to 1e-3 where that is
        the cheaper by far: for few residuals. ``guess`` (m, n): where to begin, as the weights of a neighbouring noise
        level.
        """
        r_o, r_f = residual
        moved = None if r_f is None else self.background.move(r_f)
        if moved is not None:
            r_o = r_o - self.observations.points.spectral_apply(moved)
        z_o = self._weigh(r_o, tolerance, guess)
        spread = self.background.spread(z_o)
        increment = spread if moved is None else moved + spread
        z_f = None
        if r_f is not None and isinstance(self.background, EvenBackground):
            z_f = self.background.weigh(r_f, z_o)
        return Weights(z_o, z_f, increment)

    def weigh(self, r_o: Tensor) -> Tensor:
        """z_o (m, n) alone, exactly: what ``solve`` has without a part of the forecast in the residual."""
        return self._weigh(r_o, None, None)

    def _weigh(self, r: Tensor, tolerance: float | None, guess: Tensor | None) -> Tensor:
        """z_o (m, n), from what soundings say beyond the background."""
        several = self._factored or len(r) > FEW  # and not what else was solved before: a rerun is to give the same
        if tolerance is None and several and len(self.observations.points) <= DENSE_LIMIT:
            return torch.cholesky_solve(r.T, self._factor).T
        enough = 1e-3 if tolerance is None else tolerance
        return conjugate_gradients(
            lambda z: self._own * z + self.background.seen(z), r, self._own + self.background.variance(), enough, guess
        )

    @cached_property
    def _factor(self) -> Tensor:
        """Cholesky factor (n, n), made once for all members."""
        matrix = self.background.matrix()
        matrix.diagonal().add_(self._own)
        factor: Tensor = torch.linalg.cholesky(matrix)
        return factor
