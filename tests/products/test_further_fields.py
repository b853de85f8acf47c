"""Derived fields and probabilities as products: in GRIB2, in netCDF, and by configuration."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import eccodes
import netCDF4
import numpy as np
import pytest
import xarray as xr

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config_file import load_config
from dacycle.cycler.cycle.engine import open_engine, run_cycle
from dacycle.cycler.products.derived import any_channel, derive
from dacycle.cycler.products.ensemble import Ensemble
from dacycle.cycler.products.fields import read_fields
from dacycle.cycler.products.publish import publish
from dacycle.cycler.products.thresholds import Threshold
from dacycle.errors import ConfigError
from tests.cycle.small_world import START, config, soundings
from tests.products.samples import ensemble, request
from tests.tools import require_module

NAMES = ("msl", "ws10", "ws850", "r850")
WANTED = (Threshold("ws10", "above", 17.2), Threshold("2t", "below", 273.15), Threshold("msl", "below", 98000.0))


@pytest.fixture(scope="module")
def sample() -> Ensemble:
    plain = ensemble(4)
    ground = np.full(plain.grid.shape, 100.0)
    states, channels = derive(plain.states, plain.channels, NAMES, ground)
    return replace(plain, states=states, channels=channels, thresholds=WANTED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sample: Ensemble) -> Path:
    folder = tmp_path_factory.mktemp("further") / "00"
    publish(folder, request(analysis=sample))
    return folder


def test_derived_fields_follow_member_by_member(sample: Ensemble) -> None:
    names = [c.name for c in sample.channels]
    u, v, speed = (sample.states[:, names.index(name)] for name in ("u850", "v850", "ws850"))
    np.testing.assert_allclose(speed, np.hypot(u, v), rtol=1e-6)
    assert (sample.fields("mean")[0, names.index("ws850")] > np.hypot(u.mean(0), v.mean(0))).any()
    sp, msl = (sample.states[:, names.index(name)] for name in ("sp", "msl"))
    np.testing.assert_allclose(msl / sp, 1.0125, atol=0.003)  # 100 m down, at 235 to 300 K


@pytest.mark.parametrize("name", ["analysis_members.grib2", "analysis.nc"])
def test_they_come_back_from_every_format(folder: Path, sample: Ensemble, name: str) -> None:
    if name.endswith(".nc"):
        with netCDF4.Dataset(folder / name) as file:
            values = np.stack([file[each][:, 0] for each in NAMES], 1)
            assert {file[each].standard_name for each in NAMES} == {
                "air_pressure_at_mean_sea_level",
                "wind_speed",
                "relative_humidity",
            }
    else:
        values = read_fields(folder / name, [any_channel(each) for each in NAMES]).values
    for k, allowed in enumerate((1.0, 0.01, 0.01, 0.05)):
        assert np.abs(values[:, k] - sample.states[:, 17 + k]).max() <= allowed, NAMES[k]


def test_probabilities_in_grib_say_their_thresholds(folder: Path, sample: Ensemble) -> None:
    seen = []
    with (folder / "analysis_probability.grib2").open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            keys = ("shortName", "level", "probabilityType", "forecastProbabilityNumber")
            kind = "Lower" if eccodes.codes_get(handle, "probabilityType") == 3 else "Upper"
            scale = eccodes.codes_get(handle, f"scaleFactorOf{kind}Limit")
            limit = eccodes.codes_get(handle, f"scaledValueOf{kind}Limit") / 10**scale
            seen.append((*(eccodes.codes_get(handle, key) for key in keys), limit))
            values = eccodes.codes_get_values(handle).reshape(sample.grid.shape)
            truth = sample.fields("probability")[0, len(seen) - 1]
            assert np.abs(values - truth).max() < 0.01
            assert eccodes.codes_get(handle, "totalNumberOfForecastProbabilities") == 3
            eccodes.codes_release(handle)
    assert seen == [("10si", 10, 3, 1, 17.2), ("2t", 2, 4, 2, 273.15), ("msl", 0, 4, 3, 98000.0)]


@pytest.mark.filterwarnings("ignore::FutureWarning:cfgrib")
def test_cfgrib_opens_probabilities(folder: Path, sample: Ensemble) -> None:
    cfgrib = require_module("cfgrib")
    arrays = {
        str(name): array
        for dataset in cfgrib.open_datasets(
            str(folder / "analysis_probability.grib2"), backend_kwargs={"indexpath": ""}
        )
        for name, array in dataset.data_vars.items()
    }
    assert set(arrays) == {"si10", "t2m", "msl"}
    assert np.abs(arrays["si10"].values - sample.fields("probability")[0, 0]).max() < 0.01


def test_probabilities_in_netcdf_lie_in_a_group_with_its_own_coordinates(folder: Path, sample: Ensemble) -> None:
    with xr.open_dataset(folder / "analysis.nc", group="probability") as dataset:
        assert set(dataset.data_vars) - {"crs"} == {"ws10_above_17p2", "t2m_below_273p15", "msl_below_98000"}
        for threshold, truth in zip(WANTED, sample.fields("probability")[0], strict=True):
            np.testing.assert_array_equal(dataset[threshold.netcdf_name][0], truth)
        assert dataset.time.values[0] == np.datetime64("2005-08-26T00:00")
        np.testing.assert_array_equal(dataset.lat, sample.grid.lat)


def test_a_configuration_asks_for_them(
    tmp_path: Path, tiny_bundle_path: Path, tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "dacycle.toml"
    file.write_text(
        '[products]\nderived = ["msl", "r850"]\nprobabilities = [{channel = "t850", below = 263.15}]\n'
        'formats = ["grib2", "netcdf"]\n'
    )
    asked = load_config(file, {}).products.model_dump()
    chosen = config(tmp_path, soundings(tmp_path / "archive", [START]), tiny_bundle_path, products=asked)
    run_cycle(chosen, START, datetime(2021, 3, 20, tzinfo=UTC))
    folder = tmp_path / "state/products/2021/03/01/00"
    assert (folder / "analysis_probability.grib2").is_file()
    with netCDF4.Dataset(folder / "analysis.nc") as nc:
        sp, msl = nc["sp"][:, 0], nc["msl"][:, 0]
        land = tiny_bundle.orography > 1
        assert (msl > sp + 9 * tiny_bundle.orography)[:, land].all()
        assert np.abs(msl - sp)[:, ~land].max() <= 12.0
        assert "t850_below_263p15" in nc["probability"].variables
    for wrong, told in (
        ({"probabilities": [{"channel": "ws10", "above": 1}]}, r"no channel ws10; expected one of 2t .* or name it in"),
        ({"derived": ["r500"]}, "derived: r500 needs q500, which the bundle lacks"),
    ):
        bad = config(tmp_path, tmp_path / "archive", tiny_bundle_path, products=wrong)
        with pytest.raises(ConfigError, match=told), open_engine(bad, START):
            pass
    file.write_text('[products]\nprobabilities = [{channel = "2t"}]\n')
    with pytest.raises(ConfigError, match="expected either above or below"):
        load_config(file, {})
