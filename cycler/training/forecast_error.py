"""Error statistics of the emulator's mean forecast, estimated by cycling where the truth is known."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import colouring, whitening
from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = [
    "ForecastStatistics",
    "Regression",
    "bounded",
    "calibration",
    "expected_moments",
    "first_guess",
    "moments_of",
    "pool",
    "statistics_of",
    "whitened",
]

SHARE_BOUNDS = (0.01, 0.99)
NEIGHBOURS = 2  # degrees on either side that lend their samples
RIDGE = 0.02  # of the forecast's mean variance: what few samples say of small directions is not trusted
CROSS = 0.15  # what counts of the moments of two directions: a month says little of them that holds in another season
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


class Regression:
    """Truth on forecast per degree, from pairs as they come, in the basis where the climatological covariance is the
    identity. There neighbouring degrees are alike and lend each other samples, and directions have little to do with
    each other: with all that 14 days seemed to say of pairs of them, forecasts of another season had an error variance
    up to a sixth larger at the largest scales.

    The eigenvalues of the error covariance, the share of the climatological variance that the forecast leaves unknown,
    are kept between SHARE_BOUNDS. Systematic error counts as error.
    """

    def __init__(self, prior: GaussianPrior, first: ForecastStatistics, worth: float) -> None:
        """``first``: what is thought before any pair, ``worth`` as much as so many of them."""
        self._prior, self._count = prior, worth
        self._moments = worth * expected_moments(prior, first)

    def add(self, forecast: Tensor, truth: Tensor, keep: float = 1.0) -> None:
        """A pair of normalised fields (channels, nlat, nlon); what came before counts ``keep`` as much as until now."""
        seen = moments_of(self._prior, len(self._moments), torch.cat([forecast, truth]))
        self._moments = keep * self._moments + seen
        self._count = keep * self._count + 1

    def statistics(self) -> ForecastStatistics:
        """What the pairs say by now; ValueError where there is nothing yet."""
        if self._count == 0:
            raise ValueError("forecast-error statistics need at least one pair of forecast and truth")
        return statistics_of(self._prior, self._moments, self._count)


def moments_of(prior: GaussianPrior, degrees: int, fields: Tensor) -> Tensor:
    """Second moments (degrees, k, k) of ``fields`` (k, nlat, nlon), k a multiple of the channels: of scaled
    coefficients, summed over the modes of a degree."""
    a = prior.analyse(fields)[..., : degrees**2].T
    nothing = torch.zeros(degrees, a.shape[1], a.shape[1], device=a.device)
    return nothing.index_add_(0, prior.harmonics.degree[: degrees**2], a[:, :, None] * a[:, None, :])


def expected_moments(prior: GaussianPrior, statistics: ForecastStatistics) -> Tensor:
    """What a pair of forecast and truth adds on average where ``statistics`` hold and forecasts vary as the climate
    does: (degrees, 2 channels, 2 channels), summed over the modes of a degree, of scaled coefficients."""
    slope, error = statistics.slope, statistics.covariance
    covariance = prior.covariance[: len(slope)]
    upper = torch.cat([covariance, covariance @ slope.transpose(-1, -2)], -1)
    lower = torch.cat([slope @ covariance, slope @ covariance @ slope.transpose(-1, -2) + error], -1)
    return _modes(len(slope))[:, None, None] * torch.cat([upper, lower], -2)


def statistics_of(prior: GaussianPrior, moments: Tensor, pairs: float) -> ForecastStatistics:
    """Of the sum of ``moments`` (degrees, 2 channels, 2 channels) of so many ``pairs``, as ``expected_moments`` has
    them."""
    both, modes = whitened(prior, moments), _modes(len(moments)) * pairs
    return calibration(prior, torch.stack([pool(both, modes, k) for k in range(len(moments))]))


def whitened(prior: GaussianPrior, moments: Tensor) -> Tensor:
    """``moments`` (degrees, 2 channels, 2 channels) in the basis where the climate's covariance is the identity."""
    whiten = whitening(prior, len(moments))
    n = whiten.shape[-1]
    twice = torch.zeros_like(moments)
    twice[:, :n, :n] = twice[:, n:, n:] = whiten
    return twice @ moments @ twice.transpose(-1, -2)


def _modes(degrees: int) -> Tensor:
    return 2.0 * torch.arange(degrees) + 1


def calibration(prior: GaussianPrior, moments: Tensor) -> ForecastStatistics:
    """Of the mean second ``moments`` (degrees, 2 channels, 2 channels) of forecast and truth in the basis where the
    climatological covariance is the identity."""
    n, degrees = prior.channels, len(moments)
    counted = CROSS + (1 - CROSS) * torch.eye(n)
    ff, fx, xx = (counted * part for part in (moments[:, :n, :n], moments[:, :n, n:], moments[:, n:, n:]))
    ridge = RIDGE * ff.diagonal(dim1=1, dim2=2).mean(1).clamp_max(1.0)
    slope = torch.linalg.solve(ff + ridge[:, None, None] * torch.eye(n), fx).transpose(-1, -2)
    cross = slope @ fx
    error = xx - cross - cross.transpose(-1, -2) + slope @ ff @ slope.transpose(-1, -2)
    whiten, back = whitening(prior, degrees), colouring(prior, degrees)
    return ForecastStatistics(back @ slope @ whiten, _of_shares(error, back))


def bounded(prior: GaussianPrior, covariance: Tensor) -> Tensor:
    """An error ``covariance`` (degrees, channels, channels) with shares of the climate's variance in SHARE_BOUNDS."""
    whiten, back = whitening(prior, len(covariance)), colouring(prior, len(covariance))
    return _of_shares(whiten @ covariance @ whiten.transpose(-1, -2), back)


def _of_shares(error: Tensor, back: Tensor) -> Tensor:
    """``error`` in the basis where the climate's covariance is the identity, bounded, ``back`` in the channels'."""
    share, rotation = torch.linalg.eigh(error)
    error = (rotation * share.clamp(*SHARE_BOUNDS)[..., None, :]) @ rotation.transpose(-1, -2)
    return back @ error @ back.transpose(-1, -2)


def pool(moments: Tensor, modes: Tensor, degree: int) -> Tensor:
    """Sum of ``moments`` (degrees, ...) over a degree and its neighbours, over the sum of ``modes`` (degrees,)."""
    part = slice(max(0, degree - NEIGHBOURS), degree + NEIGHBOURS + 1)
    mean: Tensor = moments[part].sum(0) / modes[part].sum()
    return mean
