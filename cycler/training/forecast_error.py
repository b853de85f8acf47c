"""Error statistics of the emulator's mean forecast, estimated by cycling where the truth is known."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = ["ForecastStatistics", "estimate_forecast_error", "first_guess", "pool"]

SHARE_BOUNDS = (0.01, 0.99)
NEIGHBOURS = 2  # degrees on either side that lend their samples
RIDGE = 0.05  # of the forecast's mean variance: what few samples say of small directions is not trusted
GUESSED_NOISE = 1.5


@dataclass(frozen=True)
class ForecastStatistics:
    """Per degree, of the normalised mean forecast f in scaled coefficients: the calibrated forecast is E[x | f] = B f.

    ``slope`` B and ``covariance`` of x - B f, both (degrees, channels, channels).
    """

    slope: Tensor
    covariance: Tensor


def first_guess(prior: GaussianPrior, degrees: int) -> ForecastStatistics:
    """Statistics to begin cycling with.

    The error is a share p of the climatological covariance, from 0.3 at the largest scales to 0.9 at the smallest. A
    forecast that varies as the climate does and leaves that much unknown is calibrated by the factor (1 - p)^1/2: with
    less damping the analyses would hold the forecast's variance and the error's besides, more from cycle to cycle. On
    top the slope is that of white errors: it damps the directions in which the climate hardly varies, where an
    emulator's noise would grow unseen.
    """
    share = torch.linspace(0.3, 0.9, degrees)[:, None, None]
    slope = (1 - share).sqrt() * prior.gain(torch.tensor(GUESSED_NOISE))[:degrees]
    return ForecastStatistics(slope, share * prior.covariance[:degrees])


def estimate_forecast_error(
    prior: GaussianPrior, pairs: Iterable[tuple[Tensor, Tensor]], degrees: int
) -> ForecastStatistics:
    """Statistics from ``pairs`` (forecast, truth) of normalised fields (channels, nlat, nlon).

    Regression of truth on forecast per degree, in the basis where the climatological covariance is the identity.
    There neighbouring degrees are alike and lend each other samples. The eigenvalues of the error covariance, the share
    of the climatological variance that the forecast leaves unknown, are kept between SHARE_BOUNDS. Systematic error
    counts as error. ValueError without pairs.
    """
    values = prior.eigenvalues[:degrees].clamp_min(1e-6)
    whiten = prior.eigenvectors[:degrees].transpose(-1, -2) / values.sqrt()[..., None]
    back = prior.eigenvectors[:degrees] * values.sqrt()[..., None, :]
    degree = prior.harmonics.degree[: degrees**2]
    n = prior.channels
    moments, count = torch.zeros(degrees, 2 * n, 2 * n), 0
    for forecast, truth in pairs:
        a = prior.analyse(torch.stack([forecast, truth]))[..., : degrees**2]
        both = torch.einsum("kcd,sdk->ksc", whiten[degree], a).flatten(1)  # forecast, then truth
        moments.index_add_(0, degree, both[:, :, None] * both[:, None, :])
        count += 1
    if count == 0:
        raise ValueError("forecast-error statistics need at least one pair of forecast and truth")
    modes = (2 * torch.arange(degrees) + 1).float() * count
    pooled = torch.stack([pool(moments, modes, k) for k in range(degrees)])
    ff, fx, xx = pooled[:, :n, :n], pooled[:, :n, n:], pooled[:, n:, n:]
    ridge = RIDGE * ff.diagonal(dim1=1, dim2=2).mean(1).clamp_max(1.0)
    slope = torch.linalg.solve(ff + ridge[:, None, None] * torch.eye(n), fx).transpose(-1, -2)
    cross = slope @ fx
    error = xx - cross - cross.transpose(-1, -2) + slope @ ff @ slope.transpose(-1, -2)
    share, rotation = torch.linalg.eigh(error)
    error = (rotation * share.clamp(*SHARE_BOUNDS)[..., None, :]) @ rotation.transpose(-1, -2)
    return ForecastStatistics(back @ slope @ whiten, back @ error @ back.transpose(-1, -2))


def pool(moments: Tensor, modes: Tensor, degree: int) -> Tensor:
    """Sum of ``moments`` (degrees, ...) over a degree and its neighbours, over the sum of ``modes`` (degrees,)."""
    part = slice(max(0, degree - NEIGHBOURS), degree + NEIGHBOURS + 1)
    mean: Tensor = moments[part].sum(0) / modes[part].sum()
    return mean
