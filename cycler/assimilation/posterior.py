"""Exact draws of the Gaussian posterior, by perturbed observations.

A draw of the background, which is the prior given the forecast, moved by the gain times what perturbed soundings say
of it, is a draw of the posterior. The same with a background mean and soundings of zero is a draw of its deviations.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dacycle.cycler.assimilation.background import pad
from dacycle.cycler.assimilation.gain import Conditioner
from dacycle.cycler.assimilation.noise import MemberNoise

__all__ = ["deviation_fields", "gaussian_deviations", "gaussian_posterior"]


def gaussian_posterior(system: Conditioner, members: Sequence[MemberNoise], innovation: Tensor | None = None) -> Tensor:
    """One exact draw per member of the Gaussian posterior (m, channels, nlat, nlon); ``system``: that of the prior.

    ``innovation`` (m, n): in place of the system's own, one for each member.
    """
    innovation = system.observations.innovation if innovation is None else innovation
    return system.prior.synthesise(_draw(system, members, innovation, system.expected))


def gaussian_deviations(system: Conditioner, members: Sequence[MemberNoise]) -> Tensor:
    """One draw per member of N(0, posterior covariance), as scaled coefficients (m, channels, L*L)."""
    return _draw(system, members, torch.zeros_like(system.observations.innovation), 0.0)


def deviation_fields(system: Conditioner, share: Tensor, members: Sequence[MemberNoise]) -> Tensor:
    """``gaussian_deviations`` as fields (m, channels, nlat, nlon); of each degree ``share`` (degrees,) of the variance
    is left."""
    prior = system.prior
    degree = prior.harmonics.degree[: len(share) ** 2]
    a = share.sqrt()[degree] * gaussian_deviations(system, members)[..., : len(degree)]
    return prior.synthesise(pad(a, prior.harmonics.lmax**2))


def _draw(system: Conditioner, members: Sequence[MemberNoise], innovation: Tensor, expected: Tensor | float) -> Tensor:
    prior, points = system.prior, system.observations.points

    def white(shape: Sequence[int]) -> Tensor:
        return torch.stack([noise.draw(shape) for noise in members]).to(prior.rest.device)

    of_prior, of_soundings = white((prior.channels, prior.harmonics.lmax**2)), white((len(points),))
    a = expected + system.background.draw(of_prior, members)
    weights = system.solve((innovation + of_soundings - points.spectral_apply(a), None), tolerance=None)
    return a + weights.increment
