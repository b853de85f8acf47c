"""Fields between grids, and members of an analysis, with the tiny bundle."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import coarsen, lift, observe
from dacycle.cycler.assimilation.methods import METHODS
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.spectral import Harmonics
from dacycle.errors import ConfigError
from dacycle.obs.batch import ObservationBatch, Quality

TIME = datetime(2001, 8, 25, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def made_up(bundle: Bundle, n: int = 150) -> tuple[ObservationBatch, np.ndarray]:
    """Values of a hidden state drawn from the prior, with errors of 0.3 standard deviations; and that state."""
    rng = np.random.default_rng(4)
    analyst = Analyst(bundle, Settings())
    _, drawn = analyst.prior.gaussian.sample(1, torch.Generator().manual_seed(5))
    truth = bundle.climatology.mean(TIME)[None] + drawn.numpy() * bundle.climatology.std
    index = rng.integers(0, len(bundle.channels), n)
    sigma = 0.3 * bundle.climatology.std[index, 0, 0].astype(np.float64)
    batch = ObservationBatch(
        analysis_time=TIME,
        channel=np.array([bundle.channels[k].name for k in index]),
        lat=rng.uniform(-88, 88, n),
        lon=rng.uniform(-180, 180, n),
        time=np.full(n, np.datetime64("2001-08-25T00", "s")),
        value=np.zeros(n),
        sigma=sigma,
        elevation=np.zeros(n),
        station=np.array([f"XXX{k:08d}" for k in range(n)]),
        report=np.array([f"r{k}" for k in range(n)]),
        quality=np.zeros(n, np.int16),
    )
    value = observe(bundle, truth.astype(np.float32), batch)[0] + sigma * rng.normal(size=n)
    return replace(batch, value=value), truth


def test_lifting_the_coarsened_climatology_gives_the_climatology_back(tiny_bundle: Bundle) -> None:
    climatology = tiny_bundle.climatology.mean(TIME)[None]
    coarse = coarsen(tiny_bundle, climatology)
    assert coarse.shape == (1, 17, 8, 16)
    np.testing.assert_allclose(lift(tiny_bundle, coarse, TIME), climatology, rtol=1e-4, atol=1e-4)


def test_coarsening_a_lifted_forecast_gives_the_forecast_back(tiny_bundle: Bundle) -> None:
    coarse = coarsen(tiny_bundle, tiny_bundle.climatology.mean(TIME)[None])
    anomaly = coarsen(tiny_bundle, made_up(tiny_bundle)[1].astype(np.float32)) - coarse
    again = coarsen(tiny_bundle, lift(tiny_bundle, coarse + anomaly, TIME))
    scale = tiny_bundle.climatology.std.mean((1, 2))[:, None, None]
    humidity = [c.variable == "q" for c in tiny_bundle.channels]
    difference = np.abs(again - coarse - anomaly)[0] / scale
    assert difference[~np.array(humidity)].max() < 1e-2


def test_a_channel_that_the_bundle_lacks_has_no_equivalent(tiny_bundle: Bundle) -> None:
    batch, truth = made_up(tiny_bundle, 5)
    batch = replace(batch, channel=np.array(["t850", "t700", "2t", "sp", "q500"]))
    found = np.isnan(observe(tiny_bundle, truth.astype(np.float32), batch)[0])
    assert found.tolist() == [False, True, False, False, True]


@pytest.mark.parametrize("method", ["sda", "sda-jacobian", "mmps", "oi", "3dvar"])
@pytest.mark.parametrize("with_forecast", [False, True])
def test_the_analysis_is_closer_to_observations_and_truth(
    tiny_bundle: Bundle, method: str, with_forecast: bool
) -> None:
    batch, truth = made_up(tiny_bundle)
    forecast = coarsen(tiny_bundle, truth.astype(np.float32)) if with_forecast else None
    states = Analyst(tiny_bundle, Settings(method, 8)).draw(TIME, batch, forecast, range(1, 9), seed=0)
    assert states.shape == (8, 17, 16, 32)
    assert states.dtype == np.float32
    climatology = tiny_bundle.climatology.mean(TIME)
    scale = tiny_bundle.climatology.std
    before = np.sqrt(np.mean(((climatology - truth[0]) / scale) ** 2))
    after = np.sqrt(np.mean(((states.mean(0) - truth[0]) / scale) ** 2))
    assert after < (0.75 if with_forecast else 0.9) * before
    misfit = (batch.value - observe(tiny_bundle, states.mean(0, keepdims=True), batch)[0]) / batch.sigma
    assert np.sqrt(np.mean(misfit**2)) < 1.6


@pytest.mark.parametrize("method", METHODS)
def test_every_method_draws_different_members_and_the_same_ones_again(tiny_bundle: Bundle, method: str) -> None:
    batch, truth = made_up(tiny_bundle)
    rng = np.random.default_rng(1)
    coarse = coarsen(tiny_bundle, truth.astype(np.float32)).repeat(3, 0)
    forecast = (
        coarse + rng.normal(size=coarse.shape).astype(np.float32) * np.abs(coarse).mean((2, 3), keepdims=True) / 50
    )
    analyst = Analyst(tiny_bundle, Settings(method, 3))
    first = analyst.draw(TIME, batch, forecast, [1, 2], seed=7)
    assert np.isfinite(first).all()
    assert np.abs(first[0] - first[1]).max() > 0
    np.testing.assert_array_equal(
        first, Analyst(tiny_bundle, Settings(method, 3)).draw(TIME, batch, forecast, [1, 2], 7)
    )


@pytest.mark.parametrize("method", ["letkf", "none"])
def test_methods_of_the_forecast_draw_a_first_analysis_as_the_default_does(tiny_bundle: Bundle, method: str) -> None:
    batch, _ = made_up(tiny_bundle)
    first = Analyst(tiny_bundle, Settings(method, 3)).draw(TIME, batch, None, [1, 2], seed=7)
    np.testing.assert_array_equal(first, Analyst(tiny_bundle, Settings("sda", 3)).draw(TIME, batch, None, [1, 2], 7))


def test_a_ladder_of_ones_own_replaces_the_steps(tiny_bundle: Bundle) -> None:
    batch, _ = made_up(tiny_bundle)
    calls: list[int] = []
    settings = Settings(levels=(2.0, 0.5, 0.1))
    Analyst(tiny_bundle, settings).draw(TIME, batch, None, [1], 0, check=lambda: calls.append(1))
    assert len(calls) == 3
    assert len(Settings(steps=16, solver="heun").plan()[0]) == 8


def test_a_rerun_is_bit_identical_and_members_differ(tiny_bundle: Bundle) -> None:
    batch, _ = made_up(tiny_bundle)
    analyst = Analyst(tiny_bundle, Settings(steps=4))
    first = analyst.draw(TIME, batch, None, [1, 2], seed=7)
    np.testing.assert_array_equal(first, analyst.draw(TIME, batch, None, [1, 2], seed=7))
    assert np.abs(first[0] - first[1]).max() > 0
    other = analyst.draw(TIME, batch, None, [2, 3], seed=7)
    np.testing.assert_allclose(other[0, 4], first[1, 4], atol=0.05)  # member 2 keeps its noise in another chunk
    assert np.abs(analyst.draw(TIME, batch, None, [1, 2], seed=8) - first).max() > 0


def test_withheld_values_do_not_enter(tiny_bundle: Bundle) -> None:
    batch, _ = made_up(tiny_bundle)
    analyst = Analyst(tiny_bundle, Settings(steps=2))
    half = np.arange(len(batch)) % 2 == 0
    marked = batch.mark(half, Quality.EVALUATED_ONLY)
    spoiled = replace(marked, value=np.where(half, 1e9, marked.value))
    np.testing.assert_array_equal(analyst.draw(TIME, marked, None, [1], 0), analyst.draw(TIME, spoiled, None, [1], 0))


def test_without_any_observation_a_member_is_a_draw_of_the_prior(tiny_bundle: Bundle) -> None:
    batch, _ = made_up(tiny_bundle)
    nothing = batch.select(np.zeros(len(batch), bool))
    states = Analyst(tiny_bundle, Settings(steps=4)).draw(TIME, nothing, None, range(1, 13), 0)
    normalised = (states - tiny_bundle.climatology.mean(TIME)) / tiny_bundle.climatology.std
    spread = normalised.std((0, 2, 3))
    humidity = np.array([c.variable == "q" for c in tiny_bundle.channels])
    assert np.all(np.abs(spread[~humidity] - 1.0) < 0.35), spread


def test_lacking_spread_is_added_without_a_change_of_the_mean(tiny_bundle: Bundle) -> None:
    batch, _ = made_up(tiny_bundle)
    inflated = replace(tiny_bundle, analysis_inflation=np.full(8, 0.5, np.float32))
    dry = np.array([c.variable != "q" for c in tiny_bundle.channels])
    members = range(1, 41)
    bundles = tiny_bundle, inflated
    before, after = (Analyst(b, Settings(steps=16)).draw(TIME, batch, None, members, 0) for b in bundles)
    before, after = before[:, dry], after[:, dry]
    scale = tiny_bundle.climatology.std[dry]
    assert np.abs((after.mean(0) - before.mean(0)) / scale).max() < 1e-3
    low = [coarsen_to_degrees(states / scale) for states in (before, after)]
    # The tiny prior is Gaussian: its members have the posterior's variance, and half as much is added.
    assert low[1].var(0).sum() / low[0].var(0).sum() == pytest.approx(1.5, rel=0.08)
    others = (
        Analyst(b, Settings("sda-channelwise", 4)).draw(TIME, batch, None, [1], 0) for b in (tiny_bundle, inflated)
    )
    np.testing.assert_array_equal(*others)
    nothing = batch.select(np.zeros(len(batch), bool))
    free = (Analyst(b, Settings(steps=4)).draw(TIME, nothing, None, [1], 0) for b in bundles)
    np.testing.assert_array_equal(*free)


def coarsen_to_degrees(fields: np.ndarray) -> np.ndarray:
    """Coefficients of the degrees that the inflation reaches."""
    return Harmonics(gaussian_grid(16, 32), 8).analyse(torch.as_tensor(fields)).numpy()


def test_an_unknown_method_lists_the_known_ones(tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="'kalman' is unknown; expected one of sda"):
        Analyst(tiny_bundle, Settings("kalman"))
    with pytest.raises(ConfigError, match="solver 'rk4' is unknown; expected one of multistep"):
        Analyst(tiny_bundle, Settings(solver="rk4"))
