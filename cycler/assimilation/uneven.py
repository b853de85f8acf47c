"""Where soundings and forecast leave much unknown, and where little.

An isotropic covariance of normalised states takes forecasts to be as wrong everywhere. They are better where soundings
made the analyses before them good, so that the analysis error varies from place to place by more than the posterior
variance of one hour says. What is added to members (``Analyst.added``) therefore goes with a power of that variance.
"""

from datetime import datetime

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gain import Conditioner
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.posterior import deviation_fields

__all__ = ["unevenness"]

DRAWS = 32
SEED = 2**40  # far from any ensemble's: its members' own draws must not count here
SMOOTHING_KM = 500.0
EARTH_RADIUS_KM = 6371.0
SMALLEST = 0.02  # of the mean: smoothing in spectral space can leave a little below zero
POWER = 1.5  # of the variance; docs/methods.md has what others gave


def unevenness(system: Conditioner, share: Tensor, time: datetime) -> Tensor:
    """(channels, nlat, nlon): a power of the Gaussian posterior's variance, relative to its mean over the globe.

    ``share`` (degrees,): what of the variance of each degree counts. The variance is that of DRAWS deviations, the same
    ones for all members of a ``time``, smoothed over SMOOTHING_KM.
    """
    prior = system.prior
    noises = [MemberNoise(SEED, time, 2 * number + 1) for number in range(DRAWS)]
    variance = deviation_fields(system, share, noises).square().mean(0)
    every = prior.harmonics.degree
    smooth = torch.exp(-0.5 * every * (every + 1) * (SMOOTHING_KM / EARTH_RADIUS_KM) ** 2)
    even = prior.harmonics.synthesise(prior.harmonics.analyse(variance) * smooth)
    mean = (even * prior.weights).mean((-2, -1), keepdim=True)
    return (even / mean).clamp_min(SMALLEST) ** POWER
