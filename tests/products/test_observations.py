"""observations.nc goes out and comes back unchanged."""

import re
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from dacycle.channels import channel
from dacycle.cycler.products.observations import ObservationTable, read_observations, write_observations
from dacycle.errors import ProductError
from dacycle.obs.batch import Quality
from tests.products.samples import PROVENANCE, TIME, batch, table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("n", [0, 1, 40])
def test_round_trip_is_exact(tmp_path: Path, n: int) -> None:
    sample = table(n)
    write_observations(tmp_path / "o.nc", sample, PROVENANCE)
    back = read_observations(tmp_path / "o.nc")
    assert back.batch.analysis_time == TIME
    for name, values in sample.batch.arrays().items():
        np.testing.assert_array_equal(back.batch.arrays()[name], values, err_msg=name)
    for name in ("background_mean", "background_spread", "analysis_mean", "analysis_spread", "withheld"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sample, name), err_msg=name)


def test_equivalents_are_mean_and_unbiased_spread() -> None:
    members = np.array([[1.0, 2.0], [3.0, 2.0]])
    sample = ObservationTable.of(batch(2), None, members)
    assert sample.analysis_mean.tolist() == [2.0, 2.0]
    np.testing.assert_allclose(sample.analysis_spread, [np.sqrt(2), 0.0])
    assert np.isnan(sample.background_mean).all()
    assert np.isnan(ObservationTable.of(batch(2), None, members[:1]).analysis_spread).all()


def test_a_release_on_the_day_before_stays_there(tmp_path: Path) -> None:
    write_observations(tmp_path / "o.nc", table(), PROVENANCE)
    with netCDF4.Dataset(tmp_path / "o.nc") as file:
        assert netCDF4.num2date(file["time"][0], file["time"].units).isoformat() == "2005-08-25T23:03:00"


def test_codes_explain_themselves(tmp_path: Path) -> None:
    write_observations(tmp_path / "o.nc", table(), PROVENANCE)
    with netCDF4.Dataset(tmp_path / "o.nc") as file:
        quality = file["quality"]
        meanings = dict(zip(quality.flag_values.tolist(), quality.flag_meanings.split(), strict=True))
        assert meanings == {code.value: code.reason for code in Quality}
        withheld = quality[:] == Quality.EVALUATED_ONLY
        assert withheld.any()
        assert (file["withheld"][:] == withheld).all()
        assert file["channel_units"][:5].tolist() == ["K", "m s-1", "m s-1", "Pa", "K"]
        assert np.ma.getmaskarray(file["pressure"][:])[:4].all()
        assert file["pressure"][4] == 850


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_observations(tmp_path / name, table(), PROVENANCE) for name in ("a.nc", "b.nc"))
    assert first.sha256 == second.sha256


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "o.nc").write_text("no netCDF")
    with pytest.raises(ProductError, match="is not an observation file of dacycle"):
        read_observations(tmp_path / "o.nc")
    with netCDF4.Dataset(tmp_path / "p.nc", "w"):
        pass
    with pytest.raises(ProductError, match="is not an observation file of dacycle"):
        read_observations(tmp_path / "p.nc")


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match=r"background_mean must have shape \(40,\)"):
        ObservationTable(batch(), *[np.zeros(3)] * 4, withheld=np.zeros(40, bool))


def test_every_quantity_has_columns_of_its_own_with_one_unit(tmp_path: Path) -> None:
    whole = table()
    write_observations(tmp_path / "o.nc", whole, PROVENANCE)
    with xr.open_dataset(tmp_path / "o.nc") as dataset:
        for standard_name, units, variables in (
            ("air_temperature", "K", "t"),
            ("eastward_wind", "m s-1", "u"),
            ("geopotential_height", "m", "z"),
            ("surface_air_pressure", "Pa", "sp"),
        ):
            rows = np.array([channel(name).variable == variables for name in whole.batch.channel])
            for suffix, values in (
                ("", whole.batch.value),
                ("_error", whole.batch.sigma),
                ("_background_mean", whole.background_mean),
                ("_analysis_spread", whole.analysis_spread),
            ):
                column = dataset[standard_name + suffix]
                assert column.units == units
                np.testing.assert_array_equal(column.values, np.where(rows, values, np.nan))


def test_xarray_gives_texts(tmp_path: Path) -> None:
    write_observations(tmp_path / "o.nc", table(), PROVENANCE)
    with xr.open_dataset(tmp_path / "o.nc") as dataset:
        for name in ("station", "report", "channel"):
            assert dataset[name].values.tolist() == getattr(table().batch, name).tolist()
        assert int((dataset.channel == "t850").sum()) == 3


def test_the_documented_departures_are_those_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/products.md").read_text()
    found = re.search(r"^    obs = xr\.open_dataset.*?\n\n", text, re.M | re.S)
    assert found is not None
    example = re.sub("^    ", "", found[0], flags=re.M)
    whole = table(200)
    write_observations(tmp_path / "observations.nc", whole, PROVENANCE)
    monkeypatch.chdir(tmp_path)
    told: dict[str, object] = {"xr": xr}
    exec(example, told)
    rows = (whole.batch.channel == "t850") & (whole.batch.quality == Quality.ASSIMILATED)
    expected = (whole.batch.value - whole.background_mean)[rows]
    assert len(expected) > 0
    np.testing.assert_allclose(told["departure"], expected)
    told["obs"].close()  # type: ignore[attr-defined]
