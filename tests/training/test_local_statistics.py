"""Error statistics of places: found again where they are known."""

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.local_error import node_weights
from dacycle.cycler.bundle import NODES
from dacycle.cycler.training.forecast_error import ForecastStatistics, Regression, first_guess, statistics_of
from dacycle.cycler.training.local_statistics import (
    guessed_moments,
    local_statistics,
    pair_moments,
)
from dacycle.emulators.grid import gaussian_grid

GRID = gaussian_grid(32, 64)
LMAX, DEGREES, CHANNELS = 24, 16, 2


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def make_prior() -> GaussianPrior:
    mixing = torch.tensor([[1.0, 0.0], [0.4, 0.9]])
    power = 30.0 * (1.0 + torch.arange(LMAX)) ** -2.0
    return GaussianPrior(GRID, power[:, None, None] * (mixing @ mixing.T), torch.zeros(CHANNELS))


def share_of(prior: GaussianPrior, covariance: torch.Tensor, degrees: slice) -> float:
    climate = prior.covariance[:DEGREES][degrees]
    return float(covariance[degrees].diagonal(dim1=1, dim2=2).sum() / climate.diagonal(dim1=1, dim2=2).sum())


def test_shares_and_slopes_of_every_node_are_found_from_pairs() -> None:
    """x = f + e with variances 1 - p and p of the climate's, p from 0.1 to 0.6 by place; the forecast is twice f."""
    prior, generator = make_prior(), torch.Generator().manual_seed(2)
    sine = torch.as_tensor(np.sin(np.deg2rad(GRID.lat)), dtype=torch.float32)[:, None].expand(GRID.shape)
    unknown = 0.35 - 0.25 * sine  # the south is known less
    spread = torch.exp(1.5 * (unknown - 0.35) / 0.25)
    weights = node_weights(spread, NODES)
    total = torch.zeros(len(NODES), DEGREES, 2 * CHANNELS, 2 * CHANNELS)
    for _ in range(300):
        known, wrong = prior.sample(2, generator)[1]
        f, e = (1 - unknown).sqrt() * known, unknown.sqrt() * wrong
        total += pair_moments(prior, DEGREES, 2 * f, f + e, weights)
    found = local_statistics(prior, total)
    window = weights.square() * prior.weights
    expected = (unknown * window).sum((1, 2)) / window.sum((1, 2))
    for statistics, p in zip(found, expected.tolist(), strict=True):
        assert share_of(prior, statistics.covariance, slice(3, 14)) == pytest.approx(p, rel=0.12)
        slope = statistics.slope[3:14].diagonal(dim1=1, dim2=2).mean()
        assert float(slope) == pytest.approx(0.5, rel=0.05)
    assert expected[0] < 0.5 * expected[-1]


def test_the_globe_is_one_node_that_weighs_one_everywhere() -> None:
    prior, generator = make_prior(), torch.Generator().manual_seed(3)
    regression, total = Regression(prior, first_guess(prior, DEGREES), 0.0), torch.zeros(())
    for _ in range(20):
        known, wrong = prior.sample(2, generator)[1]
        f, x = 0.8 * known, 0.8 * known + 0.6 * wrong
        regression.add(f, x)
        total = total + pair_moments(prior, DEGREES, f, x, torch.ones(1, *GRID.shape))[0]
    found, expected = statistics_of(prior, total, 20), regression.statistics()
    torch.testing.assert_close(found.slope, expected.slope, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-3, atol=1e-4)
    assert share_of(prior, found.covariance, slice(3, 14)) == pytest.approx(0.36, rel=0.15)


def test_what_is_guessed_is_what_is_found_without_a_pair() -> None:
    prior = make_prior()
    error = 0.3 * prior.covariance[:DEGREES]
    slope = 0.84 * torch.eye(CHANNELS).expand(DEGREES, -1, -1)
    moments = 4 * guessed_moments(prior, ForecastStatistics(slope, error), len(NODES), 1 / len(NODES))
    for statistics in local_statistics(prior, moments):
        # Of the climate's variance: 0.84^2 + 0.3 is a hundredth more than all of it.
        torch.testing.assert_close(
            statistics.covariance.diagonal(dim1=1, dim2=2), error.diagonal(dim1=1, dim2=2), rtol=0.05, atol=0.0
        )
        assert float(statistics.slope.diagonal(dim1=1, dim2=2).mean()) == pytest.approx(0.84, rel=0.05)


def test_an_hour_without_such_a_place_says_nothing_of_it() -> None:
    prior = make_prior()
    weights = node_weights(torch.full(GRID.shape, NODES[0]), NODES)
    f, x = prior.sample(2, torch.Generator().manual_seed(1))[1]
    moments = pair_moments(prior, DEGREES, f, x, weights)
    assert float(moments[0].diagonal(dim1=1, dim2=2).sum()) > 1.0
    assert float(moments[1:].abs().max()) < 1e-6
