"""Exact draws of the Gaussian posterior, by perturbed observations.

A draw of the prior, moved by the gain times what the perturbed observations say of it, is a draw of the posterior. The
same with observations of zero is a draw of its deviations from the mean.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gain import Conditioner, pad
from dacycle.cycler.assimilation.noise import MemberNoise

__all__ = ["deviation_fields", "gaussian_deviations", "gaussian_posterior"]


def gaussian_posterior(system: Conditioner, members: Sequence[MemberNoise], innovation: Tensor | None = None) -> Tensor:
    """One exact draw per member of the Gaussian posterior (m, channels, nlat, nlon); ``system``: that of the prior.

    ``innovation`` (m, n): in place of the system's own, one for each member.
    """
    observations = system.observations
    innovation = observations.innovation if innovation is None else innovation
    term = observations.forecast
    return system.prior.synthesise(_draw(system, members, innovation, None if term is None else term.values))


def gaussian_deviations(system: Conditioner, members: Sequence[MemberNoise]) -> Tensor:
    """One draw per member of N(0, posterior covariance), as scaled coefficients (m, channels, L*L)."""
    observations = system.observations
    term = observations.forecast
    nothing = torch.zeros_like(observations.innovation)
    return _draw(system, members, nothing, None if term is None else torch.zeros_like(term.values))


def deviation_fields(system: Conditioner, share: Tensor, members: Sequence[MemberNoise]) -> Tensor:
    """``gaussian_deviations`` as fields (m, channels, nlat, nlon); of each degree ``share`` (degrees,) of the variance
    is left."""
    prior = system.prior
    degree = prior.harmonics.degree[: len(share) ** 2]
    a = share.sqrt()[degree] * gaussian_deviations(system, members)[..., : len(degree)]
    return prior.synthesise(pad(a, prior.harmonics.lmax**2))


def _draw(system: Conditioner, members: Sequence[MemberNoise], innovation: Tensor, values: Tensor | None) -> Tensor:
    prior, observations = system.prior, system.observations
    device = prior.rest.device

    def white(shape: Sequence[int]) -> Tensor:
        return torch.stack([noise.draw(shape) for noise in members]).to(device)

    a = prior.colour(white((prior.channels, prior.harmonics.lmax**2)))
    field = prior.synthesise(a)
    r_o = innovation + white((len(observations.points),)) - observations.points.apply(field)
    term, r_f = observations.forecast, None
    if term is not None and values is not None:
        r_f = values + term.variance.sqrt() * white(term.variance.shape) - term.apply(a)
    weights = system.solve((r_o, r_f), tolerance=None)
    return a + weights.increment
