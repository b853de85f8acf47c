"""Forecasts that ran on without soundings: their statistics against linear worlds whose filter is known exactly."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from dacycle.cycler.assimilation.ageing import YOUNG, Age, aged, left, unknown
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import coarsen
from dacycle.cycler.bundle import Bundle
from tests.obs.batches import at_places

TIME = datetime(2001, 7, 1, tzinfo=UTC)
DEGREES, CHANNELS = 3, 5


def world(forgetting: float) -> tuple[np.ndarray, np.ndarray]:
    """C and M (degrees, channels, channels) of x' = M x + q, q ~ N(0, C - M C M'), of many rates; M is symmetric where
    C is the identity."""
    rng = np.random.default_rng(5)
    root = rng.normal(size=(DEGREES, CHANNELS, CHANNELS)) + 2 * np.eye(CHANNELS)
    rotation, _ = np.linalg.qr(rng.normal(size=(DEGREES, CHANNELS, CHANNELS)))
    rates = rng.uniform(1 - forgetting, 1, (DEGREES, 1, CHANNELS))
    m = root @ (rotation * rates) @ rotation.swapaxes(1, 2) @ np.linalg.inv(root)
    return root @ root.swapaxes(1, 2), m


def predicted(c: np.ndarray, m: np.ndarray, error: np.ndarray, steps: int) -> np.ndarray:
    """The Kalman filter's error covariance after so many steps without an observation."""
    for _ in range(steps):
        error = m @ error @ m.swapaxes(1, 2) + c - m @ c @ m.swapaxes(1, 2)
    return error


@pytest.mark.parametrize("periods", [1, 2, 3, 9])
def test_error_of_a_forecast_from_the_truth_is_the_kalman_filters(periods: int) -> None:
    c, m = world(0.6)
    nothing = np.zeros_like(c)
    once = predicted(c, m, nothing, 1)
    np.testing.assert_allclose(unknown(c, once, periods), predicted(c, m, nothing, periods), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(unknown(c, once, 1e4), c, rtol=1e-6, atol=1e-6)


def test_error_of_a_forecast_from_an_analysis_is_never_thought_smaller_than_it_is() -> None:
    c, m = world(0.6)
    for share in (0.05, 0.3):
        once = predicted(c, m, share * c, 1)
        for periods in (2, 3, 9):
            excess = unknown(c, once, periods) - predicted(c, m, share * c, periods)
            assert np.linalg.eigvalsh(excess).min() > -1e-9
            assert np.linalg.eigvalsh(c - unknown(c, once, periods)).min() > -1e-9


def test_mean_that_does_not_damp_itself_is_regressed_as_the_joint_covariance_says() -> None:
    """The forecast is the first state, kept: E[x | f] = M^k f after k periods."""
    c, m = world(0.6)
    once = predicted(c, m, np.zeros_like(c), 1)
    for periods in (1, 2, 5):
        slope = left(c, once, (periods - 1) / 2) @ m
        np.testing.assert_allclose(slope, np.linalg.matrix_power(m, periods), rtol=1e-7, atol=1e-7)


def test_young_forecasts_have_the_statistics_of_the_bundle(tiny_bundle: Bundle) -> None:
    assert aged(tiny_bundle, Age(0, 0)) is aged(tiny_bundle, YOUNG) is tiny_bundle


def test_analysis_trusts_an_old_forecast_as_its_age_allows(tiny_bundle: Bundle) -> None:
    """The tiny bundle's forecasts miss three tenths of the climate's variance: after 36 hours 1 - 0.7^3."""
    older = aged(tiny_bundle, Age(36, 36))
    np.testing.assert_allclose(older.forecast_error, tiny_bundle.forecast_error / 0.3 * (1 - 0.7**3), atol=1e-4)
    np.testing.assert_allclose(older.forecast_slope, 0.7 * tiny_bundle.forecast_slope, atol=1e-5)
    mean, scale = tiny_bundle.climatology.mean(TIME), tiny_bundle.climatology.std
    forecast = coarsen(tiny_bundle, (mean + 0.5 * scale).astype(np.float32)[None])
    batch = at_places(TIME, ["t850", "u500"], np.array([20.0, -40.0]), np.array([30.0, 200.0]))
    batch = replace(batch, value=np.array([280.0, 285.0, 20.0, -5.0]))

    def drawn(bundle: Bundle, age: Age) -> np.ndarray:
        states = Analyst(bundle, Settings(steps=3)).draw(TIME, batch, forecast, [1, 2], 0, age=age)
        return (states - mean) / scale

    np.testing.assert_array_equal(drawn(tiny_bundle, Age(36, 36)), drawn(older, YOUNG))
    np.testing.assert_array_equal(drawn(tiny_bundle, Age(6, 6)), drawn(tiny_bundle, YOUNG))
    assert np.abs(drawn(tiny_bundle, YOUNG) - drawn(older, YOUNG)).max() > 0.1
