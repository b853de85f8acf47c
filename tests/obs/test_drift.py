"""Balloons in winds whose tracks are known."""

import numpy as np
import pytest

from dacycle.channels import channel
from dacycle.obs.conversion import observations
from dacycle.obs.drift import track
from dacycle.obs.igra.format import parse
from dacycle.obs.soundings import Soundings
from tests.obs.batches import NOON
from tests.obs.igra_text import Level, sounding

DEGREE = 6371000.0 * np.pi / 180


def sounded(*levels: Level, **head: object) -> Soundings:
    return parse(sounding(*levels, when="2016 01 10 12", reltime="1100", **head).encode(), "f")


def test_a_constant_west_wind_carries_the_balloon_east() -> None:
    levels = [Level("10", 100 * m, 100000 - 1000 * m, wdir=270, wspd=200) for m in (0, 10, 40)]
    path = track(sounded(*levels, lat=600000, lon=100000))
    assert path.seconds.tolist() == [0, 600, 2400]
    assert path.lat.tolist() == [60.0] * 3
    assert path.lon == pytest.approx(10 + np.array([0, 600, 2400]) * 20 / (DEGREE * 0.5))


def test_a_wind_that_grows_with_time_moves_it_by_the_square() -> None:
    levels = [Level("10", 100 * m, 90000 - 1000 * m, wdir=180, wspd=10 * m) for m in range(0, 41, 10)]
    path = track(sounded(*levels, lat=0, lon=0))
    seconds = np.arange(0, 41, 10) * 60
    assert path.lat == pytest.approx(0.5 * (1 / 60) * seconds**2 / DEGREE)


def test_without_etime_the_height_tells_the_time() -> None:
    levels = [Level("21", press=100000, gph=100, wdir=270, wspd=100), Level(press=50000, gph=5600, wdir=270, wspd=100)]
    assert track(sounded(*levels)).seconds.tolist() == [0, 1100]
    below = Level(press=100000, gph=-50)  # a standard level below the ground
    assert track(sounded(below, *levels)).seconds.tolist() == [0, 0, 1100]


def test_a_balloon_of_unknown_path_stays_at_its_station() -> None:
    path = track(sounded(Level(press=50000, gph=5600), Level(press=25000, wdir=270, wspd=300)))
    assert set(path.lat.tolist()) == {38.9767}
    assert track(sounded()).lat.tolist() == []


def test_across_the_date_line_and_over_the_pole_it_stays_on_the_globe() -> None:
    levels = [Level("10", 6000, 50000, wdir=270, wspd=1000), Level("10", 12000, 25000, wdir=270, wspd=1000)]
    path = track(sounded(*levels, lat=100000, lon=1799000))
    assert (abs(path.lon) <= 360).all()
    over = track(sounded(*(Level("10", t, 50000, wdir=180, wspd=1000) for t in (6000, 12000)), lat=899000, lon=0))
    assert (abs(over.lat) <= 90).all()


def test_drift_is_an_option_of_the_conversion() -> None:
    found = sounded(Level("21", 0, 100000, gph=0, wdir=270, wspd=200), Level("10", 4000, 50000, wdir=270, wspd=200))
    still, moved = (observations(found, NOON, (channel("u500"),), drift) for drift in (False, True))
    assert (still.lon[0], still.time[0]) == (-77.4864, np.datetime64("2016-01-10T11:00"))
    assert moved.time[0] == np.datetime64("2016-01-10T11:40")
    assert moved.lon[0] - still.lon[0] == pytest.approx(48000 / (DEGREE * np.cos(np.deg2rad(38.9767))))
    assert moved.value.tolist() == still.value.tolist()
