"""Soundings to observations: units, signs, levels, and what is told apart."""

import numpy as np
import pytest

from dacycle.channels import DEFAULT_CHANNELS, channel
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.conversion import observations
from dacycle.obs.errors import HUMIDITY_FLOOR, observation_error
from dacycle.obs.igra.format import parse
from dacycle.obs.moisture import dew_point, specific_humidity, vapour_pressure
from tests.obs.batches import NOON, codes
from tests.obs.igra_text import Level, sounding

SURFACE = Level("21", press=101300, gph=10, temp=150, wdir=90, wspd=50)


def observed(text: str, *names: str) -> ObservationBatch:
    return observations(parse(text.encode(), ""), NOON, [channel(name) for name in names])


def value(name: str, *levels: Level) -> float:
    found = observed(sounding(*levels), name)
    assert found.channel.tolist() == [name]
    assert codes(found) == ["assimilated"]
    return float(found.value[0])


@pytest.mark.parametrize(
    ("wdir", "u", "v"),
    [(360, 0, -10), (0, 0, -10), (90, -10, 0), (180, 0, 10), (270, 10, 0), (225, 7.0710678, 7.0710678)],
)
def test_wind_is_told_by_where_it_blows_from(wdir: int, u: float, v: float) -> None:
    line = Level(press=50000, wdir=wdir, wspd=100)
    assert value("u500", line) == pytest.approx(u, abs=1e-6)
    assert value("v500", line) == pytest.approx(v, abs=1e-6)


def test_temperature_height_and_surface_values() -> None:
    upper = Level(press=50000, gph=5560, temp=-203)
    assert value("t500", SURFACE, upper) == pytest.approx(252.85)
    assert value("z500", SURFACE, upper) == 5560
    assert value("2t", SURFACE, upper) == pytest.approx(288.15)
    assert value("sp", SURFACE, upper) == 101300
    assert value("10u", SURFACE, upper) == pytest.approx(-5.0)


def test_humidity_by_bolton() -> None:
    # At a dew point of 10 C: e = 6.112 exp(17.67 * 10 / 253.5) = 12.2720 hPa; q = 0.622 e / (850 - 0.378 e).
    e = 6.112 * np.exp(176.7 / 253.5)
    q = 0.622 * e / (850 - 0.378 * e)
    assert q == pytest.approx(0.0090296, abs=1e-6)
    assert value("q850", Level(press=85000, temp=140, dpdp=40)) == pytest.approx(q, rel=1e-9)


def test_relative_humidity_stands_in_for_a_missing_depression() -> None:
    by_depression = value("q850", Level(press=85000, temp=140, dpdp=40))
    relative = round(1000 * np.exp(176.7 / 253.5) / np.exp(17.67 * 14 / 257.5))
    assert value("q850", Level(press=85000, temp=140, rh=relative)) == pytest.approx(by_depression, rel=2e-3)
    assert value("q850", Level(press=85000, temp=140, rh=1, dpdp=40)) == pytest.approx(by_depression)


def test_dew_point_is_the_inverse_of_humidity() -> None:
    dew = np.array([-60.0, -10.0, 0.0, 25.0])
    pressure = np.array([85000.0, 50000.0, 85000.0, 100000.0])
    np.testing.assert_allclose(dew_point(specific_humidity(vapour_pressure(dew), pressure), pressure), dew, atol=1e-9)


def test_only_exact_levels_observe_a_channel() -> None:
    near = [Level("20", press=p, temp=1) for p in (49999, 50001, 5000)]
    assert len(observed(sounding(*near), "t500")) == 0
    assert len(observed(sounding(*near, Level("20", press=50000, temp=1)), "t500")) == 1


def test_missing_values_observe_nothing_and_removed_ones_are_flagged() -> None:
    levels = [Level(press=50000, temp=-8888, gph=-9999, wdir=-8888, wspd=50), Level(press=25000, temp=-400)]
    found = observed(sounding(*levels), "t500", "z500", "u500", "v500", "t250")
    assert found.channel.tolist() == ["t500", "u500", "v500", "t250"]
    assert codes(found) == ["incoming_flag"] * 3 + ["assimilated"]
    assert np.isnan(found.value[:3]).all()
    assert np.isfinite(found.sigma).all()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("u500", Level(press=50000, wdir=400, wspd=50)),
        ("v500", Level(press=50000, wdir=-10, wspd=50)),
        ("u500", Level(press=50000, wdir=10, wspd=-50)),
        ("q850", Level(press=85000, temp=100, dpdp=-1)),
        ("q850", Level(press=85000, temp=100, rh=1200)),
        ("q850", Level(press=85000, temp=-2435, dpdp=10)),
        ("q850", Level(press=85000, temp=9000, rh=500)),
    ],
)
def test_what_cannot_be_is_gross(name: str, line: Level) -> None:
    assert codes(observed(sounding(line), name)) == ["gross"]


def test_levels_below_the_soundings_own_ground_are_not_observed() -> None:
    ground = Level("21", press=80000, gph=2000, temp=100)
    found = observed(sounding(Level(press=85000, gph=1500), ground, Level(press=50000, gph=5600)), "z850", "z500")
    assert codes(found) == ["operator_failed", "assimilated"]


def test_time_is_the_release_where_it_is_known() -> None:
    text = sounding(SURFACE, when="2016 01 10 00", reltime="2302") + sounding(SURFACE, reltime="9999")
    found = observed(text, "sp")
    assert found.time.astype(str).tolist() == ["2016-01-09T23:02:00", "2016-01-01T00:00:00"]
    assert found.report.tolist() == ["USM00072403 2016-01-10T00 2302", "USM00072403 2016-01-01T00 9999"]


def test_the_reported_height_goes_before_the_station_list_unless_it_is_far_off() -> None:
    from dataclasses import replace

    soundings = parse((sounding(SURFACE) * 3).encode(), "")
    listed = replace(soundings.reports, elevation=np.array([50.0, 200.0, np.nan]))
    found = observations(replace(soundings, reports=listed), NOON, [channel("sp")])
    assert found.elevation.tolist() == [10.0, 200.0, 10.0]


def test_a_sounding_without_position_observes_nothing() -> None:
    assert len(observed(sounding(SURFACE, lat=-9999) + sounding(SURFACE), "sp")) == 1


def test_no_soundings_give_an_empty_batch_of_the_right_types() -> None:
    empty, one = observed("", "t500", "sp"), observed(sounding(SURFACE), "t500", "sp")
    assert len(empty) == 0
    assert {name: a.dtype.kind for name, a in empty.arrays().items()} == {
        name: a.dtype.kind for name, a in one.arrays().items()
    }


def test_errors_have_the_tabled_sizes_and_interpolate() -> None:
    one = np.zeros(1)
    assert observation_error(channel("t500"), one)[0] == pytest.approx(0.9)
    assert observation_error(channel("sp"), one)[0] == 100.0
    assert 2.0 < observation_error(channel("u700"), one)[0] < 2.2
    z = [observation_error(channel(f"z{p}"), one)[0] for p in (1000, 850, 700, 500, 400, 250, 100)]
    assert z == sorted(z)
    assert z[1] == pytest.approx(8.0)
    q = observation_error(channel("q850"), np.array([0.01, 1e-5, np.nan]))
    np.testing.assert_allclose(q, [0.0015, HUMIDITY_FLOOR, HUMIDITY_FLOOR])


def test_every_default_channel_has_a_positive_error() -> None:
    for wanted in DEFAULT_CHANNELS:
        assert (observation_error(wanted, np.array([0.0, np.nan])) > 0).all()


def test_codes_are_those_of_dart() -> None:
    assert [int(code) for code in list(Quality)[:5]] == [0, 1, 4, 6, 7]
