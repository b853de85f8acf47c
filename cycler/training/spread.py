"""How much spread the analysis members lack, from cycling where the truth is known."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.training.forecast_error import pool

__all__ = ["Case", "lacking_spread"]

LARGEST = 1.0  # the Gaussian posterior knows the least of all: to add more than its variance would be to distrust it


@dataclass(frozen=True)
class Case:
    """One analysis: ``members`` (N, channels, nlat, nlon) in antithetic pairs, ``truth`` (channels, nlat, nlon),
    ``deviations`` (k, channels, L*L) drawn from the Gaussian posterior; normalised, deviations in scaled coefficients.
    """

    members: Tensor
    truth: Tensor
    deviations: Tensor


def lacking_spread(prior: GaussianPrior, cases: Iterable[Case], before: Tensor) -> Tensor:
    """Per degree the share of the Gaussian posterior's variance by which the members' variance falls short of the
    error variance of their mean, all channels together so that the balance between them stays.

    ``before`` (degrees,): the share that the members have had already. Members of a pair are alike with opposite sign,
    so the variance of one member is that within pairs plus that between their means, and the mean's own sampling error
    is that between the means over their number. ValueError without cases.
    """
    degree = prior.harmonics.degree
    lack, gaussian = torch.zeros(2, prior.harmonics.lmax, device=degree.device)
    count = 0
    for case in cases:
        a = prior.analyse(case.members[: len(case.members) // 2 * 2])
        means, halves = (a[0::2] + a[1::2]) / 2, (a[0::2] - a[1::2]) / 2
        between = means.var(0) if len(means) > 1 else torch.zeros_like(means[0])
        error = (means.mean(0) - prior.analyse(case.truth[None])[0]).square() - between / len(means)
        spread = halves.square().mean(0) + between
        lack.index_add_(0, degree, (error - spread).sum(0))
        gaussian.index_add_(0, degree, case.deviations.square().mean(0).sum(0))
        count += 1
    if count == 0:
        raise ValueError("the members' spread cannot be judged without an analysis")
    share = torch.stack([pool(lack, gaussian.clamp_min(1e-12), k) for k in range(len(before))])
    return (before + share).clamp(0.0, LARGEST)
