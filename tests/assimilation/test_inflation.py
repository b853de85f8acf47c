"""The spread of free forecasts: what the error statistics promise, degree by degree, and never less than it was."""

import pytest
import torch

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.inflation import LARGEST, inflate, unknown_share
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


def test_share_that_is_unknown_grows_with_the_lead_and_ends_at_the_climate(prior: GaussianPrior) -> None:
    error = 0.2 * prior.covariance[:DEGREES]
    for hours, expected in ((6, 0.2), (12, 0.2), (24, 0.36), (36, 0.488), (12 * 60, 1.0)):
        torch.testing.assert_close(unknown_share(prior, error, hours), torch.full((DEGREES, CHANNELS), expected))


def test_inflated_members_have_the_promised_variance_and_the_same_mean(prior: GaussianPrior) -> None:
    generator = torch.Generator().manual_seed(0)
    members = 0.3 * prior.sample(8, generator)[1] + 1.0
    error = 0.4 * prior.covariance[:DEGREES]
    inflated = inflate(prior, error, members, 24)
    torch.testing.assert_close(inflated.mean(0), members.mean(0), atol=1e-5, rtol=1e-5)
    target = 0.64 * prior.covariance[:DEGREES].diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(spread(prior, inflated), target, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(inflate(prior, error, inflated, 24), inflated, rtol=1e-3, atol=1e-3)


def test_spread_is_never_taken_away_and_never_made_of_nothing(prior: GaussianPrior) -> None:
    generator = torch.Generator().manual_seed(1)
    members = prior.sample(6, generator)[1]
    error = 0.01 * prior.covariance[:DEGREES]
    wide = 3 * members
    torch.testing.assert_close(inflate(prior, error, wide, 12), wide)
    narrow = 1e-4 * members
    torch.testing.assert_close(spread(prior, inflate(prior, error, narrow, 12)), LARGEST**2 * spread(prior, narrow))
    torch.testing.assert_close(inflate(prior, error, members[:1], 12), members[:1])
