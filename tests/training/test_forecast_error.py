"""Forecast-error statistics are recovered from pairs drawn with known statistics."""

import pytest
import torch

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.training.forecast_error import estimate_forecast_error, first_guess
from dacycle.emulators.grid import gaussian_grid


def make_prior() -> GaussianPrior:
    mixing = torch.tensor([[1.0, 0.0], [0.5, 0.8]])
    power = 40.0 * (1.0 + torch.arange(10)) ** -2.0
    return GaussianPrior(gaussian_grid(16, 32), power[:, None, None] * mixing @ mixing.T, torch.zeros(2))


def test_known_statistics_are_recovered() -> None:
    prior = make_prior()
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(60):
        _, truth = prior.sample(1, generator)
        _, error = prior.sample(1, generator)
        pairs.append(((truth + 0.25**0.5 * error)[0], truth[0]))
    found = estimate_forecast_error(prior, pairs, 8)
    assert found.shape == (8, 2, 2)
    for ell in range(8):
        torch.testing.assert_close(
            found[ell], 0.25 * prior.covariance[ell], rtol=0.35, atol=0.05 * float(prior.covariance[ell].max())
        )
    ratio = found.diagonal(dim1=1, dim2=2).sum() / (0.25 * prior.covariance[:8].diagonal(dim1=1, dim2=2)).sum()
    assert float(ratio) == pytest.approx(1.0, abs=0.12)


def test_the_first_guess_trusts_large_scales_more() -> None:
    prior = make_prior()
    guess = first_guess(prior, 8)
    share = guess.diagonal(dim1=1, dim2=2) / prior.covariance[:8].diagonal(dim1=1, dim2=2)
    assert share[0, 0] == pytest.approx(0.3)
    assert share[7, 1] == pytest.approx(0.9)


def test_no_pairs_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        estimate_forecast_error(make_prior(), [], 4)
