"""The checks, one by one, and that every value ends in exactly one code."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.elevation import LAPSE_RATE, pressure_ratio
from dacycle.obs.quality import (
    background_check,
    below_ground,
    counts,
    duplicates,
    gross_limits,
    reduce_to_model,
    screen,
    vertical_consistency,
    withhold,
)
from tests.obs.batches import batch, codes

R_OVER_G = 287.05 / 9.80665


def profile(**changes: float) -> dict[str, float]:
    """A dry sounding in hydrostatic balance, its temperature linear in ln p between the levels, from 1000 hPa."""
    values = {"sp": 100000.0, "2t": 290.0, "t850": 282.0, "t500": 258.0, "t250": 225.0, "10u": 3.0, "10v": 1.0}
    height = 0.0
    for (p1, t1), (p2, t2) in zip(
        [(1000, "2t"), (850, "t850"), (500, "t500")], [(850, "t850"), (500, "t500"), (250, "t250")], strict=True
    ):
        height += R_OVER_G * (values[t1] + values[t2]) / 2 * np.log(p1 / p2)
        values[f"z{p2}"] = height
    return {name: value + changes.get(name, 0.0) for name, value in values.items()}


def struck(checked: ObservationBatch) -> list[str]:
    return sorted(checked.channel[checked.quality != Quality.ASSIMILATED].tolist())


def test_gross_limits_take_both_components_of_a_wind() -> None:
    values = {"u850": 86.8, "v850": -3.0, "u500": 20.0, "v500": -20.0, "t500": 262.0, "z500": 55.0, "sp": 101300.0}
    checked = gross_limits(batch([values, {"u850": 5.0, "v850": 5.0}]))
    assert struck(checked) == ["u850", "v850", "z500"]
    assert set(codes(checked)) == {"assimilated", "gross"}


def test_gross_limits_reject_what_is_not_a_number_unless_flagged_already() -> None:
    two = batch([{"t500": np.nan}, {"t500": np.nan}])
    flagged = replace(two, quality=np.array([0, Quality.INCOMING_FLAG], np.int16))
    assert codes(gross_limits(flagged)) == ["gross", "incoming_flag"]


@pytest.mark.parametrize("name", ["t1000", "t700", "t300", "t50", "z700", "u10", "q925"])
def test_gross_limits_interpolate_between_levels(name: str) -> None:
    middle = {"t": 240.0, "z": 3000.0, "u": 0.0, "q": 0.001}[name[0]]
    assert codes(gross_limits(batch([{name: middle}, {name: 1e6}]))) == ["assimilated", "gross"]


def test_of_duplicates_the_nearest_hour_stands_then_the_later_release() -> None:
    one = ["AAM00000001"] * 4
    nominal = ["2016-01-10T10", "2016-01-10T12", "2016-01-10T12", "2016-01-10T14"]
    release = ["2016-01-10T10:00", "2016-01-10T11:00", "2016-01-10T11:30", "2016-01-10T14:00"]
    checked = duplicates(batch([{"t500": 260.0}] * 4, stations=one, nominal=nominal, release=release))
    assert codes(checked) == ["duplicate", "duplicate", "assimilated", "duplicate"]


def test_a_rejected_value_does_not_oust_its_duplicate() -> None:
    two = batch(
        [{"t500": 900.0}, {"t500": 260.0}],
        stations=["AAM00000001"] * 2,
        release=["2016-01-10T12:30", "2016-01-10T12:00"],
    )
    assert codes(duplicates(gross_limits(two))) == ["gross", "assimilated"]


def test_other_stations_and_channels_are_no_duplicates() -> None:
    assert set(codes(duplicates(batch([profile(), profile()])))) == {"assimilated"}


def test_a_balanced_profile_passes() -> None:
    assert struck(vertical_consistency(batch([profile(), profile(z850=20, t500=2)]))) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"z500": 500}, ["z500"]),
        ({"z850": -300}, ["z850"]),
        ({"z250": 400}, ["t250", "z250"]),  # height or temperature: nobody can tell from one layer
        ({"z500": 160}, []),  # seen from below alone, and from above not: the neighbours have to tell
        ({"t500": -30}, ["t500"]),
        ({"t250": 30}, ["t250", "z250"]),
        ({"sp": 3000}, ["sp"]),
        ({"z850": 300, "z500": 300, "z250": 300}, ["sp"]),  # all of the air against the ground
    ],
)
def test_the_hydrostatic_check_names_the_culprit(change: dict[str, float], expected: list[str]) -> None:
    checked = vertical_consistency(batch([profile(), profile(**change)]))
    bad = checked.quality == Quality.VERTICAL
    # What shares the single inconsistent layer may fall with the culprit; a height that another layer confirms not.
    assert set(expected) <= set(checked.channel[bad].tolist())
    assert "z500" not in checked.channel[bad] or "z500" in expected
    assert set(checked.report[bad].tolist()) == ({checked.report[-1]} if expected else set())


def test_missing_levels_are_no_evidence() -> None:
    values = profile(z500=500)
    del values["t500"]
    assert struck(vertical_consistency(batch([values]))) == []


def test_the_lapse_rate_is_checked_without_heights() -> None:
    checked = vertical_consistency(batch([{"t850": 300.0, "t500": 240.0}, {"t850": 285.0, "t500": 258.0}]))
    assert codes(checked) == ["vertical", "vertical", "assimilated", "assimilated"]


def test_surface_values_move_to_the_models_ground_and_back() -> None:
    values = {"2t": 290.0, "sp": 98000.0, "10u": 3.0, "t850": 280.0}
    moved = reduce_to_model(batch([values], elevation=250.0), np.full(4, 100.0))
    assert codes(moved) == ["assimilated"] * 4
    warmer, denser = moved.value[0], moved.value[1]
    assert warmer == pytest.approx(290.0 + 0.0065 * 150)
    # Hydrostatic: p exp(g dz / (R Tmean)).
    assert denser == pytest.approx(98000 * np.exp(150 / (R_OVER_G * (290.0 + warmer) / 2)), rel=1e-6)
    assert moved.value[2:].tolist() == [3.0, 280.0]
    back = pressure_ratio(np.array([warmer]), np.array([150.0]))[0]
    assert denser * back == pytest.approx(98000.0, rel=1e-12)
    assert LAPSE_RATE == 0.0065


@pytest.mark.parametrize(("station", "model"), [(400.0, 99.0), (0.0, 301.0), (np.nan, 0.0)])
def test_surface_values_are_rejected_where_the_ground_differs(station: float, model: float) -> None:
    values = {"2t": 290.0, "10u": 3.0, "10v": 3.0, "sp": 98000.0, "z500": 5600.0}
    checked = reduce_to_model(batch([values], elevation=station), np.full(5, model))
    assert codes(checked) == ["elevation"] * 4 + ["assimilated"]
    assert checked.value.tolist() == list(values.values())


def test_pressure_without_temperature_uses_the_standard_atmosphere() -> None:
    moved = reduce_to_model(batch([{"sp": 98000.0}], elevation=200.0), np.zeros(1))
    assert moved.value[0] == pytest.approx(98000 * np.exp(200 / (R_OVER_G * (288.15 - 0.65))), rel=1e-5)


def test_levels_below_the_models_ground_have_no_equivalent() -> None:
    checked = below_ground(batch([{"t850": 280.0, "t500": 260.0, "2t": 280.0}] * 2), np.repeat([84000.0, 86000.0], 3))
    assert codes(checked) == ["operator_failed", *["assimilated"] * 5]


def test_the_background_check_weighs_both_errors() -> None:
    values = batch([{"t500": 260.0}, {"t500": 264.0}, {"t500": 268.0}])  # sigma 0.9
    background, spread = np.full(3, 260.0), np.full(3, 1.2)  # sqrt(0.9^2 + 1.2^2) = 1.5
    assert codes(background_check(values, background, spread, k=5)) == ["assimilated", "assimilated", "background"]
    assert codes(background_check(values, background, spread, k=2)) == ["assimilated", "background", "background"]
    members = np.stack([background - 1, background + 1])
    assert codes(background_check(values, members, spread, k=5)) == ["assimilated", "assimilated", "background"]


def test_a_wind_falls_as_a_whole_against_the_background() -> None:
    checked = background_check(
        batch([{"u500": 40.0, "v500": 0.0}, {"u500": 0.0, "v500": 0.0}]), np.zeros(4), np.ones(4)
    )
    assert codes(checked) == ["background", "background", "assimilated", "assimilated"]


def test_a_value_without_equivalent_is_an_operator_failure() -> None:
    checked = background_check(batch([{"t500": 260.0}]), np.array([np.nan]), np.ones(1))
    assert codes(checked) == ["operator_failed"]


def test_arrays_of_another_length_are_refused() -> None:
    one = batch([{"t500": 260.0}])
    with pytest.raises(ValueError, match="1 values; got"):
        background_check(one, np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="length 1; got 3"):
        reduce_to_model(one, np.zeros(3))


def test_withholding_goes_by_station() -> None:
    many = batch([profile() for _ in range(200)])
    checked = withhold(many, 10, 3)
    expected = [zlib.crc32(station.encode()) % 10 == 3 for station in many.station.tolist()]
    assert (checked.quality == Quality.EVALUATED_ONLY).tolist() == expected
    assert 0 < sum(expected) < len(expected) / 5
    assert withhold(many, 0, 0) is many


def test_rejected_values_are_not_withheld() -> None:
    station = next(f"AAM{k:08d}" for k in range(99) if zlib.crc32(f"AAM{k:08d}".encode()) % 10 == 0)
    checked = withhold(gross_limits(batch([{"t500": 9.0, "t250": 220.0}], stations=[station])), 10, 0)
    assert codes(checked) == ["gross", "evaluated_only"]


def test_every_value_ends_in_one_code_and_the_counts_add_up() -> None:
    rng = np.random.default_rng(0)
    soundings = [{name: value * rng.choice([1.0, 1.0, 1.3]) for name, value in profile().items()} for _ in range(50)]
    checked = withhold(screen(batch(soundings, elevation=100.0), rng.uniform(0, 800, 50 * len(profile()))), 5, 0)
    told = counts(checked)
    assert sum(told.values()) == len(checked)
    assert {"assimilated", "gross", "vertical", "elevation", "evaluated_only"} <= set(told)


def test_checks_accept_an_empty_batch() -> None:
    empty, nothing = batch([]), np.zeros(0)
    checked = withhold(screen(empty, nothing), 10, 0)
    checked = background_check(below_ground(checked, nothing), nothing, nothing)
    assert len(checked) == 0
    assert counts(checked) == {}
