"""A guided denoiser is a denoiser: E[x0 | x_sigma] becomes E[x0 | x_sigma, y].

    x0 = D(x; sigma);   z = (R + H V(sigma) H')^-1 (y - H x0);   x0_post = x0 + sigma^2 N J' H' z

J = dD/dx, sigma^2 N the noise covariance, so that sigma^2 N J' is the network's own Tweedie covariance: z needs a
covariance model (V of the Gaussian prior), the step back into state space does not (one vector-Jacobian product for all
observation types together). ``jacobian_free`` takes V there too and saves that product.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.prior import Denoiser

__all__ = ["Guidance", "SpectralGuidance"]


class Guidance(Protocol):
    """Turns a denoiser into the denoiser of the posterior."""

    def guide(self, denoiser: Denoiser, observations: Observations) -> Denoiser:
        """The denoiser given ``observations``, with the same signature."""
        ...


@dataclass(frozen=True)
class SpectralGuidance:
    """V(sigma) is the Gaussian prior's own posterior covariance at that noise level."""

    prior: GaussianPrior
    jacobian_free: bool = False

    def guide(self, denoiser: Denoiser, observations: Observations) -> Denoiser:
        """One network call and, unless Jacobian-free, one vector-Jacobian product per call.

        The weights of a call are where the solver of the next one begins: along a ladder of levels they change little.
        """
        last: Tensor | None = None

        def guided(x: Tensor, sigma: Tensor) -> Tensor:
            nonlocal last
            with torch.set_grad_enabled(not self.jacobian_free):
                x = x.detach().requires_grad_(not self.jacobian_free)
                x0 = denoiser(x, sigma)
            mean = x0.detach()
            level = sigma[0]
            residual = misfit(self.prior, observations, mean)
            rest = self.prior.rest * level**2 / (self.prior.rest + level**2)
            system = Conditioner(self.prior, self.prior.posterior_covariance(level), rest, observations)
            weights = system.solve(residual, guess=last)
            last = weights.soundings
            if self.jacobian_free:
                return mean + self.prior.synthesise(weights.increment)
            cotangent = weights.cotangent(self.prior, observations)
            (gradient,) = torch.autograd.grad(x0, x, cotangent)
            return mean + level**2 / self.prior.weights * gradient

        return guided


def misfit(prior: GaussianPrior, observations: Observations, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """(y - H x) for soundings (m, n) and for the forecast (m, channels, l*l) or None."""
    term = observations.forecast
    of_forecast = None if term is None else term.values - term.apply(prior.analyse(x))
    return observations.innovation - observations.points.apply(x), of_forecast
