"""How uncertain a forecast without soundings is: the ensemble's departures from its mean, per degree and channel, are
given the variance that the forecast's errors are known to have.

An emulator's ensemble keeps too little spread. The error statistics know the share p of the climatological variance
that a forecast of STATISTICS_HOURS leaves unknown; after k times as long, 1 - (1 - p)^k is unknown: it grows k-fold
while it is small and ends at the climate's. Spread is only ever added, and the mean stays.
"""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = ["STATISTICS_HOURS", "inflate", "unknown_share"]

STATISTICS_HOURS = 12.0
"""The lead of the forecasts that a bundle's error statistics were estimated from."""
LARGEST = 10.0
"""A factor beyond it would make a pattern of what is hardly there."""


def unknown_share(prior: GaussianPrior, error: Tensor, hours: float) -> Tensor:
    """(degrees, channels): error variance over climatological variance after ``hours``; ``error`` (degrees, channels,
    channels), the error covariance of scaled coefficients."""
    climate = prior.covariance[: len(error)].diagonal(dim1=1, dim2=2).clamp_min(1e-12)
    share = (error.diagonal(dim1=1, dim2=2) / climate).clamp(0.0, 1.0)
    return 1 - (1 - share) ** max(hours / STATISTICS_HOURS, 1.0)


def inflate(prior: GaussianPrior, error: Tensor, members: Tensor, hours: float) -> Tensor:
    """``members`` (N, channels, nlat, nlon), normalised, with departures as large as a forecast over ``hours`` errs.

    Degrees that the error statistics do not reach, and a single member, stay as they are.
    """
    if len(members) < 2:
        return members
    degrees = len(error)
    degree = prior.harmonics.degree[: degrees**2]
    target = unknown_share(prior, error, hours) * prior.covariance[:degrees].diagonal(dim1=1, dim2=2)
    a = prior.analyse(members - members.mean(0))
    modes = (2 * torch.arange(degrees, device=a.device) + 1).float()
    squares = a[..., : degrees**2].square().sum(0) / (len(members) - 1)  # (channels, l*l)
    found = torch.zeros(degrees, a.shape[1], device=a.device).index_add_(0, degree, squares.T) / modes[:, None]
    factor = (target / found.clamp_min(1e-12)).sqrt().clamp(1.0, LARGEST)
    added = torch.zeros_like(a)
    added[..., : degrees**2] = (factor[degree].T - 1) * a[..., : degrees**2]
    return members + prior.synthesise(added)
