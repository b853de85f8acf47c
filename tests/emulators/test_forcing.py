"""Insolation against values that follow from geometry alone."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from dacycle.emulators.forcing import (
    SOLAR_CONSTANT,
    InsolationTable,
    daily_insolation,
    insolation_by_name,
    instant_insolation,
    orbit,
)
from dacycle.emulators.grid import gaussian_grid

GRID = gaussian_grid(32, 64)
YEAR = [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=5 * k) for k in range(73)]


def test_annual_global_mean_is_a_quarter_of_the_solar_constant() -> None:
    mean = np.mean([GRID.mean(daily_insolation(GRID, day)) for day in YEAR])
    assert mean == pytest.approx(SOLAR_CONSTANT / 4, rel=2e-3)


def test_perihelion_is_seven_percent_brighter_than_aphelion() -> None:
    january, july = (orbit(datetime(2001, month, 4, tzinfo=UTC)).irradiance for month in (1, 7))
    assert january / july == pytest.approx((1.0167 / 0.9833) ** 2, rel=2e-3)


@pytest.mark.parametrize(("month", "day", "degrees"), [(3, 20, 0.0), (6, 21, 23.44), (9, 22, 0.0), (12, 21, -23.44)])
def test_declination_at_solstices_and_equinoxes(month: int, day: int, degrees: float) -> None:
    sun = orbit(datetime(2001, month, day, 12, tzinfo=UTC))
    assert np.rad2deg(sun.declination) == pytest.approx(degrees, abs=0.45)


def test_equation_of_time_in_minutes() -> None:
    minutes = [
        orbit(datetime(2001, *date, 12, tzinfo=UTC)).equation_of_time * 720 / np.pi for date in ((2, 11), (11, 3))
    ]
    assert minutes == pytest.approx([-14.2, 16.4], abs=0.6)


def test_polar_night_is_dark_and_polar_day_outshines_the_tropics() -> None:
    june = daily_insolation(GRID, datetime(2001, 6, 21, tzinfo=UTC))
    assert (june[GRID.lat < -67] == 0).all()
    assert (june[GRID.lat > -65] > 0).all()
    assert june[0, 0] > june[16, 0]
    # At the pole on the solstice the sun stands at one height all day: S sin(declination).
    sun = orbit(datetime(2001, 6, 21, tzinfo=UTC))
    expected = sun.irradiance * np.sin(np.deg2rad(GRID.lat[0])) * np.sin(sun.declination)
    assert june[0, 0] == pytest.approx(expected, rel=1e-5)


def test_equinox_follows_the_cosine_of_latitude() -> None:
    time = min(YEAR, key=lambda t: abs(orbit(t).declination))
    expected = orbit(time).irradiance / np.pi * np.cos(np.deg2rad(GRID.lat))
    inside = np.abs(GRID.lat) < 70
    assert daily_insolation(GRID, time)[inside, 0] == pytest.approx(expected[inside], rel=0.05)


def test_daily_mean_is_the_mean_of_the_instants() -> None:
    midnight = datetime(2001, 5, 10, tzinfo=UTC)
    instants = [instant_insolation(GRID, midnight + timedelta(minutes=10 * k)) for k in range(144)]
    daily = daily_insolation(GRID, midnight + timedelta(hours=12))
    assert np.abs(np.mean(instants, 0) - daily).max() < 2.0


def test_sun_culminates_over_greenwich_at_noon_and_over_the_date_line_at_midnight() -> None:
    for hour, column in ((12, 0), (0, 32), (6, 16), (18, 48)):
        field = instant_insolation(GRID, datetime(2001, 3, 21, hour, tzinfo=UTC))
        assert abs(int(field[16].argmax()) - column) % 63 <= 1
        assert (field >= 0).all()


def test_table_repeats_every_year() -> None:
    fields = np.arange(1460, dtype=np.float32)[:, None, None] * np.ones((1, 2, 4), np.float32)
    table = InsolationTable(fields)
    grid = gaussian_grid(2, 4)
    assert table(grid, datetime(2001, 1, 2, 6, tzinfo=UTC))[0, 0] == 5
    assert table(grid, datetime(2004, 12, 31, 18, tzinfo=UTC))[0, 0] == 3  # the leap year runs over


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="daily"):
        insolation_by_name("hourly")
