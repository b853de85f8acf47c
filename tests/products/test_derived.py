"""Derived fields against closed forms and known values."""

import numpy as np
import pytest

from dacycle.cycler.products.derived import mean_sea_level_pressure, relative_humidity, wind_speed
from dacycle.cycler.products.thresholds import probability
from dacycle.obs.moisture import specific_humidity, vapour_pressure


def test_wind_speed_of_a_pythagorean_wind() -> None:
    assert wind_speed(np.array([3.0, -5.0]), np.array([-4.0, 12.0])).tolist() == [5.0, 13.0]


@pytest.mark.parametrize("percent", [0.0, 35.0, 100.0])
def test_relative_humidity_is_the_ratio_of_vapour_pressures(percent: float) -> None:
    celsius = np.array([-20.0, 0.0, 25.0])
    vapour = percent / 100 * vapour_pressure(celsius)
    q = specific_humidity(vapour, np.full(3, 85000.0))
    np.testing.assert_allclose(relative_humidity(q, celsius + 273.15, 850), percent, atol=1e-3)


def test_relative_humidity_stays_within_its_limits() -> None:
    assert relative_humidity(np.array([0.05, -0.01]), np.array([270.0, 270.0]), 850).tolist() == [100.0, 0.0]


def test_sea_level_pressure_of_the_standard_atmosphere() -> None:
    """ICAO: 898.75 hPa and 281.65 K at 1000 m."""
    pressure, temperature, ground = np.array([[89875.0, 101325.0], [281.65, 288.15], [1000.0, 0.0]])
    reduced = mean_sea_level_pressure(pressure, temperature, ground)
    np.testing.assert_allclose(reduced, 101325.0, rtol=2e-4)


def test_probability_counts_members_strictly() -> None:
    values = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 6.0], [4.0, 7.0]])
    assert probability(values, 2.0, "above").tolist() == [50.0, 100.0]
    assert probability(values, 5.0, "below").tolist() == [100.0, 0.0]
