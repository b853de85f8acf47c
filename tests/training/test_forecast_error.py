"""Forecast-error statistics are recovered from pairs drawn with known statistics."""

import pytest
import torch

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.training.forecast_error import ForecastStatistics, Regression, first_guess
from dacycle.emulators.grid import gaussian_grid


def make_prior() -> GaussianPrior:
    mixing = torch.tensor([[1.0, 0.0], [0.5, 0.8]])
    power = 40.0 * (1.0 + torch.arange(10)) ** -2.0
    return GaussianPrior(gaussian_grid(16, 32), power[:, None, None] * mixing @ mixing.T, torch.zeros(2))


def test_the_statistics_of_a_calibrated_forecast_are_recovered() -> None:
    """x = f + e with f and e independent: slope 1 and the covariance of e, a quarter of the climate's."""
    prior = make_prior()
    generator = torch.Generator().manual_seed(0)
    pairs = Regression(prior, first_guess(prior, 8), 0.0)
    for _ in range(80):
        forecast, error = (prior.sample(1, generator)[1][0] for _ in range(2))
        pairs.add(0.75**0.5 * forecast, 0.75**0.5 * forecast + 0.25**0.5 * error)
    found = pairs.statistics()
    assert found.slope.shape == found.covariance.shape == (8, 2, 2)
    assert (found.slope - torch.eye(2)).abs().max() < 0.25
    assert (found.slope.diagonal(dim1=1, dim2=2).mean() - 1).abs() < 0.1
    ratio = _trace(found.covariance) / (0.25 * _trace(prior.covariance[:8]))
    assert float(ratio) == pytest.approx(1.0, abs=0.12)


def test_a_forecast_with_more_noise_than_signal_is_damped() -> None:
    """f = x + e with a noise of nine times the climate's variance: slope 1/10, and nearly all remains unknown."""
    prior = make_prior()
    generator = torch.Generator().manual_seed(1)
    pairs = Regression(prior, first_guess(prior, 8), 0.0)
    for _ in range(80):
        truth, noise = (prior.sample(1, generator)[1][0] for _ in range(2))
        pairs.add(truth + 3.0 * noise, truth)
    found = pairs.statistics()
    assert found.slope.diagonal(dim1=1, dim2=2).mean().item() == pytest.approx(0.1, abs=0.03)
    assert float(_trace(found.covariance) / _trace(prior.covariance[:8])) == pytest.approx(0.9, abs=0.1)


def _trace(covariance: torch.Tensor) -> torch.Tensor:
    return covariance.diagonal(dim1=1, dim2=2).sum()


def test_the_first_guess_trusts_large_scales_more_and_damps_what_hardly_varies() -> None:
    prior = make_prior()
    guess = first_guess(prior, 8)
    share = guess.covariance.diagonal(dim1=1, dim2=2) / prior.covariance[:8].diagonal(dim1=1, dim2=2)
    assert share[0, 0] == pytest.approx(0.3)
    assert share[7, 1] == pytest.approx(0.9)
    damping = torch.linalg.eigvalsh(guess.slope)
    assert 0.8 < damping[0].max() <= 0.7**0.5
    assert damping[7].max() < damping[0].max()
    # What a forecast of the climate's own variance tells and what it leaves unknown are no more than the climate.
    climate = prior.covariance[:8]
    total = guess.slope @ climate @ guess.slope.transpose(-1, -2) + guess.covariance
    assert torch.linalg.eigvalsh(climate - total).min() > -1e-5


def test_before_any_pair_the_first_guess_holds() -> None:
    prior = make_prior()
    guess = ForecastStatistics(0.8 * torch.eye(2).expand(8, -1, -1), 0.3 * prior.covariance[:8])
    found = Regression(prior, guess, 5.0).statistics()
    torch.testing.assert_close(found.slope, guess.slope / 1.02, rtol=0, atol=1e-3)  # a ridge
    torch.testing.assert_close(found.covariance, guess.covariance, rtol=0.01, atol=1e-2)


def test_what_has_changed_is_learnt_and_the_past_forgotten() -> None:
    """Forecasts that were perfect become noise: the slope falls to 1/10 as if they had always been."""
    prior = make_prior()
    generator = torch.Generator().manual_seed(2)
    pairs = Regression(prior, first_guess(prior, 8), 4.0)
    for number in range(120):
        truth, noise = (prior.sample(1, generator)[1][0] for _ in range(2))
        pairs.add(truth if number < 40 else truth + 3.0 * noise, truth, 0.95)
    assert pairs.statistics().slope.diagonal(dim1=1, dim2=2).mean().item() == pytest.approx(0.1, abs=0.05)


def test_no_pairs_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        Regression(make_prior(), first_guess(make_prior(), 4), 0.0).statistics()
