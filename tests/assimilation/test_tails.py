"""Members with tails: the factor's moments have closed forms, and mean and variance stay."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from dacycle.cycler.assimilation.tails import LENGTH_KM, smooth_fields, with_tails, with_tails_of
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.emulators.grid import EARTH_RADIUS_KM, gaussian_grid

GRID = gaussian_grid(64, 128)
TIME = datetime(2001, 9, 1, tzinfo=UTC)
FIELDS = smooth_fields(GRID, TIME, 0, 200)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    opened = open_bundle("default")
    return replace(opened, error_tails=np.full(len(opened.channels), 0.4, np.float32))


def test_fields_have_unit_variance_and_correlate_as_they_say() -> None:
    assert GRID.mean(np.square(FIELDS)).mean() == pytest.approx(1.0, abs=0.03)
    assert np.abs(np.square(FIELDS).mean(0) - 1).max() < 0.5  # no pole or seam that differs from elsewhere
    row = GRID.shape[0] // 2
    for columns in (2, 4, 8):
        distance = EARTH_RADIUS_KM * np.deg2rad(columns * 360 / 128) * np.cos(np.deg2rad(GRID.lat[row]))
        found = (FIELDS[:, row] * np.roll(FIELDS[:, row], columns, -1)).mean()
        assert found == pytest.approx(np.exp(-((distance / LENGTH_KM) ** 2) / 2), abs=0.06)


def test_departures_keep_their_variance_and_get_the_kurtosis_of_a_lognormal_scale() -> None:
    rng, t = np.random.default_rng(0), 0.4
    half = rng.standard_normal((4, 1, 400_000), dtype=np.float32)
    drawn = np.stack([half, -half], 1).reshape(8, 1, -1)
    g = rng.standard_normal((4, 1, drawn.shape[-1]), dtype=np.float32)
    found = with_tails_of(np.full((1, 1), t, np.float32), 3 + drawn, g) - 3
    assert found.mean() == pytest.approx(0.0, abs=1e-6)
    assert np.square(found).mean() == pytest.approx(1.0, rel=0.01)
    # E q^4 = exp(8 t^2 - 4 t^2) for q = exp(t g - t^2).
    assert (found**4).mean() / 3 == pytest.approx(np.exp(4 * t**2), rel=0.05)
    np.testing.assert_allclose(found[0::2], -found[1::2], atol=2e-6)


def test_the_mean_of_the_members_stays(bundle: Bundle) -> None:
    states = _members(bundle)
    found = with_tails(bundle, states, TIME, 0)
    spread = bundle.climatology.std
    for k, channel in enumerate(bundle.channels):
        if channel.variable != "q":  # humidity is cut off at nothing
            moved = np.abs(found[:, k].mean(0) - states[:, k].mean(0)) / spread[k]
            assert moved.max() < 1e-3, channel.name
    assert np.abs(found - states).max((0, 2, 3)).min() > 0
    assert found[:, bundle.index("q850")].min() >= 0.0


def test_the_same_seed_and_time_give_the_same_members_and_others_other_ones(bundle: Bundle) -> None:
    states = _members(bundle)
    found = with_tails(bundle, states, TIME, 0)
    np.testing.assert_array_equal(with_tails(bundle, states, TIME, 0), found)
    assert not np.array_equal(with_tails(bundle, states, TIME, 1), found)
    assert not np.array_equal(with_tails(bundle, states, TIME + timedelta(hours=12), 0), found)


def test_an_odd_member_and_a_lone_one_are_no_trouble(bundle: Bundle) -> None:
    states = _members(bundle)
    found = with_tails(bundle, states[:3], TIME, 0)
    assert found.shape == states[:3].shape
    np.testing.assert_allclose(found[:, 0].mean(0), states[:3, 0].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(with_tails(bundle, states[:1], TIME, 0), states[:1])


def test_where_nobody_has_measured_tails_members_stay_as_they_are(bundle: Bundle) -> None:
    states = _members(bundle)
    assert with_tails(replace(bundle, error_tails=None), states, TIME, 0) is states


def _members(bundle: Bundle) -> np.ndarray:
    rng = np.random.default_rng(1)
    half = rng.standard_normal((2, len(bundle.channels), *bundle.grid.shape)) * 0.3 * bundle.climatology.std
    departures = np.stack([half, -half], 1).reshape(4, *half.shape[1:])
    return (bundle.climatology.mean(TIME) + departures).astype(np.float32)
