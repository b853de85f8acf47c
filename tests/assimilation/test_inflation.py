"""The spread of free forecasts: what the error statistics promise, degree by degree, and never less than it was."""

import pytest
import torch

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.inflation import LARGEST, inflate
from dacycle.emulators.grid import gaussian_grid
from tests.conftest import tiny_covariance

CHANNELS, DEGREES = 3, 6


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    return GaussianPrior(gaussian_grid(16, 32), tiny_covariance(CHANNELS, 12), torch.full((CHANNELS,), 0.01))


def spread(prior: GaussianPrior, members: torch.Tensor) -> torch.Tensor:
    """(degrees, channels): unbiased variance per coefficient."""
    a = prior.analyse(members - members.mean(0))[..., : DEGREES**2]
    degree = prior.harmonics.degree[: DEGREES**2]
    sums = torch.zeros(DEGREES, CHANNELS).index_add_(0, degree, a.square().sum(0).T / (len(members) - 1))
    return sums / (2 * torch.arange(DEGREES) + 1)[:, None]


def test_inflated_members_have_the_promised_variance_and_the_same_mean(prior: GaussianPrior) -> None:
    generator = torch.Generator().manual_seed(0)
    members = 0.3 * prior.sample(8, generator)[1] + 1.0
    error = 0.64 * prior.covariance[:DEGREES]
    inflated = inflate(prior, error, members)
    torch.testing.assert_close(inflated.mean(0), members.mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(spread(prior, inflated), error.diagonal(dim1=1, dim2=2), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(inflate(prior, error, inflated), inflated, rtol=1e-3, atol=1e-3)
    largest = spread(prior, inflate(prior, 9 * error, members))
    torch.testing.assert_close(largest, error.diagonal(dim1=1, dim2=2) / 0.64, rtol=1e-3, atol=1e-6)


def test_spread_is_never_taken_away_and_never_made_of_nothing(prior: GaussianPrior) -> None:
    generator = torch.Generator().manual_seed(1)
    members = prior.sample(6, generator)[1]
    error = 0.01 * prior.covariance[:DEGREES]
    wide = 3 * members
    torch.testing.assert_close(inflate(prior, error, wide), wide)
    narrow = 1e-4 * members
    torch.testing.assert_close(spread(prior, inflate(prior, error, narrow)), LARGEST**2 * spread(prior, narrow))
    torch.testing.assert_close(inflate(prior, error, members[:1]), members[:1])
