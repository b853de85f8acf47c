"""The LETKF: against the Kalman filter of its own sample covariance, its localisation, and on the tiny bundle."""

from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.baselines import unresolved
from dacycle.cycler.assimilation.fields import coarsen, lift, observe
from dacycle.cycler.assimilation.gaspari_cohn import gaspari_cohn
from dacycle.cycler.assimilation.letkf import Localisation, great_circle_km, transform
from dacycle.cycler.assimilation.methods import LetkfSettings
from dacycle.cycler.bundle import Bundle
from dacycle.errors import ConfigError
from tests.assimilation.test_analysis import TIME, made_up

PLAIN = LetkfSettings(radius_km=1e9, scale_height=1e9, relaxation=0.0, additive=0.0, inflation=False)


def ensemble(members: int, channels: int, points: int, seed: int = 0) -> Tensor:
    x = torch.randn(members, channels, points, generator=torch.Generator().manual_seed(seed))
    return x - x.mean(0)


def test_gaspari_and_cohns_function_has_their_values() -> None:
    found = gaspari_cohn(torch.tensor([0.0, 1.0, 2.0, 5.0]), 1.0)
    torch.testing.assert_close(found, torch.tensor([1.0, 5 / 24, 0.0, 0.0]), rtol=1e-5, atol=1e-6)
    r = torch.linspace(0, 4, 401)
    falling = gaspari_cohn(r, 2.0).diff()
    assert (falling <= 1e-6).all()
    assert falling.abs().max() < 0.01


def test_distances_are_those_of_the_sphere() -> None:
    lat, lon = torch.tensor([0.0, 90.0]), torch.tensor([0.0, 10.0])
    found = great_circle_km(lat, lon, torch.tensor([0.0, -90.0]), torch.tensor([359.0, 0.0]))
    quarter = np.pi / 2 * 6371.0
    expected = torch.tensor([[quarter / 90, quarter], [quarter, 2 * quarter]], dtype=torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


def test_without_localisation_it_is_the_kalman_filter_of_the_sample_covariance() -> None:
    members, channels, points, n = 7, 2, 5, 6
    x = ensemble(members, channels, points)
    h = torch.randn(n, channels * points, generator=torch.Generator().manual_seed(1))
    seen = x.flatten(1) @ h.T
    d = torch.randn(n, generator=torch.Generator().manual_seed(2))
    channel = torch.tensor([0, 0, 1, 1, 0, 1])
    local = Localisation(torch.zeros(points, n), torch.zeros(channels), PLAIN)
    added, moved = transform(x, seen, d, channel, local, PLAIN)
    p = x.flatten(1).T @ x.flatten(1) / (members - 1)
    gain = p @ h.T @ torch.linalg.inv(h @ p @ h.T + torch.eye(n))
    torch.testing.assert_close(added.flatten(), gain @ d, rtol=1e-3, atol=1e-4)
    found = moved.flatten(1).T @ moved.flatten(1) / (members - 1)
    torch.testing.assert_close(found, p - gain @ h @ p, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(moved.mean(0), torch.zeros(channels, points), rtol=0, atol=1e-5)


def test_far_observations_and_far_levels_have_no_say() -> None:
    settings = LetkfSettings(radius_km=1000, scale_height=0.5, relaxation=0.0, additive=0.0, inflation=False)
    x = ensemble(5, 2, 3)
    distance = torch.tensor([[0.0], [900.0], [2100.0]])
    local = Localisation(distance, torch.tensor([0.0, 1.1]), settings)
    seen = x[:, 0, :1]
    added, moved = transform(x, seen, torch.tensor([3.0]), torch.tensor([0]), local, settings)
    assert added[0, 0].abs() > added[0, 1].abs() > 0
    assert added[0, 2] == 0
    assert (added[1] == 0).all()
    torch.testing.assert_close(moved[:, 1], x[:, 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_inflation_recovers_the_spread_that_the_innovations_show(factor: float) -> None:
    """Innovations with ``factor`` times the ensemble's variance: the inflated variance is that, or stays."""
    members, n = 20, 2000
    settings = LetkfSettings(radius_km=1e9, scale_height=1e9, relaxation=1.0, additive=0.0, inflation=True)
    x = ensemble(members, 1, n)
    seen = x[:, 0] * 2.0
    d = torch.randn(n, generator=torch.Generator().manual_seed(3)) * (1 + 4.0 * factor) ** 0.5
    local = Localisation(torch.zeros(n, n), torch.zeros(1), settings)
    moved = transform(x, seen, d, torch.zeros(n, dtype=torch.long), local, settings)[1]
    assert moved.var(0).mean() / x.var(0).mean() == pytest.approx(factor, rel=0.12)


def test_relaxation_gives_the_forecast_spread_back() -> None:
    settings = LetkfSettings(radius_km=1e9, scale_height=1e9, relaxation=1.0, additive=0.0, inflation=False)
    x = ensemble(6, 1, 4)
    local = Localisation(torch.zeros(4, 4), torch.zeros(1), settings)
    moved = transform(x, x[:, 0], torch.ones(4), torch.zeros(4, dtype=torch.long), local, settings)[1]
    torch.testing.assert_close(moved.var(0), x.var(0), rtol=1e-3, atol=1e-4)


def forecasts(bundle: Bundle, truth: np.ndarray, members: int) -> np.ndarray:
    """The truth on the emulator's grid, each member with an error drawn from the prior, half its size."""
    prior = Analyst(bundle, Settings()).prior.gaussian
    _, drawn = prior.sample(members, torch.Generator().manual_seed(11))
    return coarsen(bundle, (truth + 0.5 * drawn.numpy() * bundle.climatology.std).astype(np.float32))


def test_it_draws_the_forecast_towards_the_truth(tiny_bundle: Bundle) -> None:
    batch, truth = made_up(tiny_bundle, 600)
    forecast = forecasts(tiny_bundle, truth, 20)
    settings = Settings("letkf", letkf=LetkfSettings(radius_km=4000, scale_height=1.5, relaxation=0.0, additive=0.0))
    states = Analyst(tiny_bundle, settings).draw(TIME, batch, forecast, range(1, 21), seed=0)
    background = lift(tiny_bundle, forecast, TIME)
    scale = tiny_bundle.climatology.std

    def error(mean: np.ndarray) -> float:
        return float(np.sqrt(np.mean(((mean - truth[0]) / scale) ** 2)))

    # A member's error is 0.5; that of the mean of independent ones 0.5 / sqrt(20). What observations can mend is the
    # error of the mean, so give the mean an error of a member's size.
    shift = forecast[:1] - forecast.mean(0, keepdims=True)
    states = Analyst(tiny_bundle, settings).draw(TIME, batch, forecast + shift, range(1, 21), seed=0)
    assert error(states.mean(0)) < 0.8 * error(lift(tiny_bundle, forecast + shift, TIME).mean(0))
    assert (states.std(0) / scale).mean() < (background.std(0) / scale).mean()
    misfit = (batch.value - observe(tiny_bundle, states.mean(0, keepdims=True), batch)[0]) / batch.sigma
    assert np.sqrt(np.mean(misfit**2)) < 1.6


def test_members_do_not_depend_on_the_chunk(tiny_bundle: Bundle) -> None:
    batch, truth = made_up(tiny_bundle)
    forecast = forecasts(tiny_bundle, truth, 4)
    analyst = Analyst(tiny_bundle, Settings("letkf"))
    whole = analyst.draw(TIME, batch, forecast, [1, 2, 3, 4], seed=0)
    np.testing.assert_array_equal(whole[2:], analyst.draw(TIME, batch, forecast, [3, 4], seed=0))


def test_additive_draws_have_the_share_of_the_forecast_error(tiny_bundle: Bundle) -> None:
    batch, truth = made_up(tiny_bundle)
    nothing = batch.select(np.zeros(len(batch), bool))
    forecast = coarsen(tiny_bundle, truth.astype(np.float32)).repeat(40, 0)
    analyst = Analyst(tiny_bundle, Settings("letkf", letkf=LetkfSettings(additive=0.5)))
    states = analyst.draw(TIME, nothing, forecast, range(1, 41), seed=0)
    variance = ((states.std(0, ddof=1) / tiny_bundle.climatology.std) ** 2)[0].mean()
    covariance = torch.as_tensor(tiny_bundle.forecast_error).diagonal(dim1=1, dim2=2)[:, 0]
    expected = float(((2 * torch.arange(8) + 1) * covariance).sum()) / (16 * 32)
    assert variance == pytest.approx(0.5 * expected, rel=0.15)
    np.testing.assert_allclose(states.mean(0)[0], lift(tiny_bundle, forecast[:1], TIME)[0, 0], atol=0.05)


def test_the_error_of_representativeness_is_what_the_coarse_grid_lacks(tiny_bundle: Bundle) -> None:
    prior = Analyst(tiny_bundle, Settings()).prior.gaussian
    _, drawn = prior.sample(400, torch.Generator().manual_seed(0))
    coefficients = prior.analyse(drawn)
    coefficients[..., : 8**2] = 0
    found = prior.synthesise(coefficients).square().mul(prior.weights).mean((0, 2, 3)) + prior.rest
    np.testing.assert_allclose(unresolved(tiny_bundle, prior), found.numpy(), rtol=0.1)


def test_one_member_is_told_to_be_too_few(tiny_bundle: Bundle) -> None:
    batch, truth = made_up(tiny_bundle)
    forecast = coarsen(tiny_bundle, truth.astype(np.float32))
    with pytest.raises(ConfigError, match="needs at least 2 members, got 1"):
        Analyst(tiny_bundle, Settings("letkf")).draw(datetime(2001, 8, 25, tzinfo=UTC), batch, forecast, [1], 0)
