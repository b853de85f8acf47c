"""How uncertain a forecast without soundings is: the ensemble's departures from its mean, per degree and channel, are
given the variance that the forecast's errors are known to have.

An emulator's ensemble keeps too little spread. The error statistics of a forecast of that age (``ageing.py``) know what
it leaves unknown; the next analysis assumes the same of it. Spread is only ever added, and the mean stays.
"""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = ["inflate"]

LARGEST = 10.0
"""A factor beyond it would make a pattern of what is hardly there."""


def inflate(prior: GaussianPrior, error: Tensor, members: Tensor) -> Tensor:
    """``members`` (N, channels, nlat, nlon), normalised, with departures of the variance that ``error`` has.

    ``error`` (degrees, channels, channels): the error covariance of scaled coefficients; of it counts what the climate
    varies at most. Degrees that it does not reach, and a single member, stay as they are.
    """
    if len(members) < 2:
        return members
    degrees = len(error)
    degree = prior.harmonics.degree[: degrees**2]
    climate = prior.covariance[:degrees].diagonal(dim1=1, dim2=2)
    target = torch.minimum(error.diagonal(dim1=1, dim2=2), climate).clamp_min(0.0)
    a = prior.analyse(members - members.mean(0))
    modes = (2 * torch.arange(degrees, device=a.device) + 1).float()
    squares = a[..., : degrees**2].square().sum(0) / (len(members) - 1)  # (channels, l*l)
    found = torch.zeros(degrees, a.shape[1], device=a.device).index_add_(0, degree, squares.T) / modes[:, None]
    factor = (target / found.clamp_min(1e-12)).sqrt().clamp(1.0, LARGEST)
    added = torch.zeros_like(a)
    added[..., : degrees**2] = (factor[degree].T - 1) * a[..., : degrees**2]
    return members + prior.synthesise(added)
