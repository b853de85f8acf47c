"""A guided denoiser is a denoiser: E[x0 | x_sigma] becomes E[x0 | x_sigma, y].

    x0 = D(x; sigma);   z = (R + H V(sigma) H')^-1 (y - H x0);   x0_post = x0 + sigma^2 N J' H' z

J = dD/dx, sigma^2 N the noise covariance, so that sigma^2 N J' is the network's own Tweedie covariance: z needs a
covariance model, the step back into state space does not (one vector-Jacobian product for all observation types
together). The methods differ in V alone:

    dps               0, with the residual divided by its norm        (Chung et al. 2023, algorithm 1)
    sda-constant      sigma^2 Gamma, Gamma one number                 (Chakraborty et al. 2025)
    sda-channelwise   sigma^2 v / (sigma^2 + v), diagonal             (Rozet and Louppe 2023)
    sda               the Gaussian prior's posterior covariance, per degree, all channels; in the step back too
    sda-jacobian      the same V, the network's J in the step back
    mmps              sigma^2 N J' itself                             (Rozet et al. 2024; in mmps.py)

Where the network's J says more variance than V does, its step overshoots what V weighed: in a cycle a local extreme
then grows from forecast to analysis, over days and without bound (docs/methods.md). So ``sda`` does without;
``sda-jacobian`` does too while the noise is large, where sigma^2 would magnify the rounding of the network's gradient.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.mmps import MomentMatching
from dacycle.cycler.assimilation.prior import Denoiser
from dacycle.cycler.assimilation.stacked import Stacked

__all__ = ["ChannelwiseGuidance", "ConstantGuidance", "Guidance", "NormalisedGuidance", "SpectralGuidance", "guidance"]

PUBLISHED_GAMMA = 5e-3  # the best of the source's own table of 2t errors
JACOBIAN_BELOW = 6.0  # in bfloat16 the product is noise above some 20, and no longer finite at 80


class Guidance(Protocol):
    """Turns a denoiser into the denoiser of the posterior."""

    def guide(self, denoiser: Denoiser, observations: Observations) -> Denoiser:
        """The denoiser given ``observations``, with the same signature."""
        ...


def guidance(name: str, prior: GaussianPrior) -> Guidance:
    """The guidance of a method of that name; KeyError for one that does not guide."""
    made: dict[str, Callable[[], Guidance]] = {
        "sda": lambda: SpectralGuidance(prior),
        "sda-jacobian": lambda: SpectralGuidance(prior, JACOBIAN_BELOW),
        "sda-channelwise": lambda: ChannelwiseGuidance(prior),
        "sda-constant": lambda: ConstantGuidance(prior),
        "dps": lambda: NormalisedGuidance(prior),
        "mmps": lambda: MomentMatching(prior),
    }
    return made[name]()


@dataclass(frozen=True)
class SpectralGuidance:
    """V(sigma) is the Gaussian prior's own posterior covariance at that noise level; at levels from ``jacobian_below``
    up the network's Jacobian is taken to be the Gaussian's, V / sigma^2 (0: always)."""

    prior: GaussianPrior
    jacobian_below: float = 0.0

    def guide(self, denoiser: Denoiser, observations: Observations) -> Denoiser:
        """One network call and, below ``jacobian_below``, one vector-Jacobian product per call.

        The weights of a call are where the solver of the next one begins: along a ladder of levels they change little.
        """
        last: Tensor | None = None

        def guided(x: Tensor, sigma: Tensor) -> Tensor:
            nonlocal last
            level = sigma[0]
            own = bool(level < self.jacobian_below)
            with torch.set_grad_enabled(own):
                x = x.detach().requires_grad_(own)
                x0 = denoiser(x, sigma)
            mean = x0.detach()
            residual = misfit(self.prior, observations, mean)
            rest = self.prior.rest * level**2 / (self.prior.rest + level**2)
            system = Conditioner(self.prior, self.prior.posterior_covariance(level), rest, observations)
            weights = system.solve(residual, guess=last)
            last = weights.soundings
            if not own:
                return mean + self.prior.synthesise(weights.increment)
            cotangent = weights.cotangent(self.prior, observations)
            (gradient,) = torch.autograd.grad(x0, x, cotangent)
            return mean + level**2 / self.prior.weights * gradient

        return guided


@dataclass(frozen=True)
class ConstantGuidance:
    """V(sigma) = sigma^2 ``gamma`` in the normalised state's units, the published choice.

    It diverges, or leaves no spread, unless gamma happens to fit (docs/methods.md has the table); kept to compare with.
    """

    prior: GaussianPrior
    gamma: float = PUBLISHED_GAMMA

    def guide(self, denoiser: Denoiser, observations: Observations) -> Denoiser:
        """One network call and one vector-Jacobian product per call."""
        stacked = Stacked(self.prior, observations)
        unit = stacked.variance(torch.ones_like(self.prior.rest))

        def weigh(residual: Tensor, level: Tensor) -> Tensor:
            return residual / (1 + self.gamma * level**2 * unit)

        return _by_gradient(self.prior, denoiser, stacked, weigh)


@dataclass(frozen=True)
class ChannelwiseGuidance:
    """V(sigma) = sigma^2 v / (sigma^2 + v), v the channel's climatological variance: exact for a white prior only."""

    prior: GaussianPrior

    def guide(self, denoiser: Denoiser, observations: Observations) -> Denoiser:
        """One network call and one vector-Jacobian product per call."""
        stacked = Stacked(self.prior, observations)

        v = self.prior.variance

        def weigh(residual: Tensor, level: Tensor) -> Tensor:
            return residual / (1 + stacked.variance(level**2 * v / (level**2 + v)))

        return _by_gradient(self.prior, denoiser, stacked, weigh)


@dataclass(frozen=True)
class NormalisedGuidance:
    """V = 0, and a gradient of constant size: z = ``scale`` sqrt(N) r / |r|, so that where the residual is of the size
    of the errors a scale of one is the likelihood's own gradient."""

    prior: GaussianPrior
    scale: float = 1.0

    def guide(self, denoiser: Denoiser, observations: Observations) -> Denoiser:
        """One network call and one vector-Jacobian product per call."""
        stacked = Stacked(self.prior, observations)

        def weigh(residual: Tensor, level: Tensor) -> Tensor:
            norm = residual.norm(dim=1, keepdim=True).clamp_min(1e-30)
            weighed: Tensor = residual * (self.scale * math.sqrt(len(stacked))) / norm
            return weighed

        return _by_gradient(self.prior, denoiser, stacked, weigh)


def _by_gradient(
    prior: GaussianPrior, denoiser: Denoiser, stacked: Stacked, weigh: Callable[[Tensor, Tensor], Tensor]
) -> Denoiser:
    """The guided denoiser for z = ``weigh``(y - H x0, sigma)."""

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0 = denoiser(x, sigma)
        mean, level = x0.detach(), sigma[0]
        cotangent = stacked.adjoint(weigh(stacked.values - stacked.apply(mean), level))
        (gradient,) = torch.autograd.grad(x0, x, cotangent)
        return mean + level**2 / prior.weights * gradient

    return guided


def misfit(prior: GaussianPrior, observations: Observations, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """(y - H x) for soundings (m, n), and ``Observations.misfit`` for the forecast."""
    return observations.innovation - observations.points.apply(x), observations.misfit(prior.analyse(x))
