"""Slope and error covariance of forecasts in places of different spread (``local_error.py``), from pairs as they come.

A pair of forecast f and truth x counts for the node n with what u_n f and u_n x have in each degree, u_n being the
node's weights in space. A product with weights carries variance from degree to degree, of truth and forecast alike: so
both are scaled, channel by channel, to the variance that the climate has in a degree, and what remains is the share of
it that forecasts leave unknown.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.training.forecast_error import (
    ForecastStatistics,
    calibration,
    expected_moments,
    moments_of,
    pool,
    whitened,
)

__all__ = ["guessed_moments", "local_statistics", "pair_moments", "stacked"]


def pair_moments(prior: GaussianPrior, degrees: int, forecast: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """(nodes, degrees, 2 channels, 2 channels): summed over the modes of a degree, of normalised fields (channels,
    nlat, nlon) of forecast and truth; ``weights`` (nodes, nlat, nlon)."""
    square = (weights.square() * prior.weights).mean((-2, -1)).clamp_min(1e-6)
    moments = []
    for weight, share in zip(weights, square, strict=True):
        fields = torch.cat([forecast, truth]) * (weight / share.sqrt())
        # An hour without such a place says nothing of it.
        moments.append(share * moments_of(prior, degrees, fields))
    return torch.stack(moments)


def guessed_moments(prior: GaussianPrior, statistics: ForecastStatistics, nodes: int, share: float) -> Tensor:
    """What a pair is expected to add where all places are alike; ``share``: of the globe in each node."""
    return (share * expected_moments(prior, statistics)).expand(nodes, -1, -1, -1)


def local_statistics(prior: GaussianPrior, moments: Tensor) -> list[ForecastStatistics]:
    """One for each node, of the sum of ``pair_moments``."""
    n, degrees = prior.channels, moments.shape[1]
    modes = 2.0 * torch.arange(degrees) + 1
    climate = prior.covariance[:degrees].diagonal(dim1=1, dim2=2)
    found = []
    for of_node in moments:
        truth = of_node[:, n:, n:].diagonal(dim1=1, dim2=2) / climate.clamp_min(1e-6)  # per mode, times the pairs
        level = torch.stack([pool(truth, modes, k) for k in range(degrees)]).clamp_min(1e-6)
        scale = level.rsqrt().repeat(1, 2)
        scaled = of_node * scale[:, :, None] * scale[:, None, :]
        both = whitened(prior, scaled)
        found.append(calibration(prior, torch.stack([pool(both, modes, k) for k in range(degrees)])))
    return found


def stacked(statistics: Sequence[ForecastStatistics]) -> tuple[Tensor, Tensor]:
    """Slopes and covariances (nodes, degrees, channels, channels)."""
    return torch.stack([s.slope for s in statistics]), torch.stack([s.covariance for s in statistics])
