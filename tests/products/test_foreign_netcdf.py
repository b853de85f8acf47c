"""netCDF of other centres: as a climate data store writes it, as CDO and xarray convert it, and what cannot be read."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from dacycle.channels import channel
from dacycle.cycler.products.fields import read_fields, valid_times
from dacycle.errors import ProductError
from tests.tools import require_module, require_tool

TIMES = [datetime(2017, 1, 1, 0, tzinfo=UTC), datetime(2017, 1, 1, 12, tzinfo=UTC)]
LAT, LON = np.linspace(90, -90, 7), np.arange(0.0, 360.0, 60.0)


def climate_store(path: Path, **changes: Any) -> np.ndarray:
    """t, z and r on levels, packed into 16 bits, and t2m: (times, levels, lat, lon) in the layout of ERA5 downloads."""
    rng = np.random.default_rng(0)
    t = 250 + 30 * rng.random((2, 3, 7, 6))
    with netCDF4.Dataset(path, "w") as file:
        for name, values, units in (
            ("valid_time", [int(time.timestamp()) for time in TIMES], "seconds since 1970-01-01"),
            ("pressure_level", [850.0, 500.0, 250.0], changes.get("pressure_units", "hPa")),
            ("latitude", LAT, "degrees_north"),
            ("longitude", LON - 180.0, "degrees_east"),
        ):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
            file[name].units = units
        file["valid_time"].standard_name = "time"
        dimensions = ("valid_time", "pressure_level", "latitude", "longitude")
        for name, standard_name, units, values in (
            ("t", "air_temperature", changes.get("units", "K"), t),
            ("z", "geopotential", "m**2 s**-2", 9.80665 * (1000 + 100 * t)),
            ("r", "relative_humidity", "%", np.full_like(t, 50.0)),
        ):
            variable = file.createVariable(name, "i2", dimensions, fill_value=-32767)
            variable.setncatts({"standard_name": standard_name, "units": units})
            variable.setncatts({"scale_factor": np.ptp(values) / 6e4 or 1.0, "add_offset": values.mean()})
            variable[:] = values
        surface = file.createVariable("t2m", "f4", ("valid_time", "latitude", "longitude"))
        surface.setncatts({"standard_name": "unknown", "units": "K"})
        surface[:] = t[:, 0] + 5
    return t


def test_a_download_of_era5_in_netcdf(tmp_path: Path) -> None:
    t = climate_store(tmp_path / "era5.nc")
    wanted = [channel(name) for name in ("2t", "t850", "q850", "z500", "t250")]
    assert valid_times(tmp_path / "era5.nc", wanted) == TIMES
    fields = read_fields(tmp_path / "era5.nc", wanted, TIMES[1])
    assert fields.values.shape == (1, 5, 7, 6)
    np.testing.assert_array_equal(fields.lon, LON)
    turned = np.roll(t[1], 3, axis=-1)  # its meridians begin at 180 W
    expected = (turned[0] + 5, turned[0], None, 1000 + 100 * turned[1], turned[2])
    for got, truth, allowed in zip(fields.values[0], expected, (1e-4, 1e-3, 0, 0.1, 1e-3), strict=True):
        if truth is not None:
            assert np.abs(got - truth).max() <= allowed
    # Half of saturation at 265 K and 850 hPa is 1.2 g/kg.
    middle = np.abs(turned[0] - 265) < 2
    assert 0.8e-3 < fields.values[0, 2][middle].mean() < 1.6e-3


def test_units_that_mean_something_else_are_refused_or_converted(tmp_path: Path) -> None:
    t = climate_store(tmp_path / "pa.nc", pressure_units="Pa")
    with pytest.raises(ProductError, match="holds none of the channels t850"):
        read_fields(tmp_path / "pa.nc", (channel("t850"),), TIMES[0])
    climate_store(tmp_path / "c.nc", units="degC")
    celsius = read_fields(tmp_path / "c.nc", (channel("t850"),), TIMES[0]).values[0, 0]
    assert np.abs(celsius - 273.15 - np.roll(t[0, 0], 3, axis=-1)).max() < 1e-2
    climate_store(tmp_path / "f.nc", units="degF")
    with pytest.raises(ProductError, match="t is in degF; expected one of K"):
        read_fields(tmp_path / "f.nc", (channel("t850"),), TIMES[0])


@pytest.mark.parametrize("by", ["cdo", "xarray"])
@pytest.mark.filterwarnings("ignore::FutureWarning:cfgrib")
def test_the_real_era5_ensemble_converted_to_netcdf_reads_as_from_grib(
    real_data: Path, tmp_path: Path, by: str
) -> None:
    source, out = real_data / "model" / "era5-eda-members-20170101.grib", tmp_path / "era5.nc"
    time, wanted = datetime(2017, 1, 1, 12, tzinfo=UTC), [channel("t850"), channel("z500")]
    truth = read_fields(source, wanted, time)
    assert truth.values.shape == (10, 2, 61, 120)
    if by == "xarray":
        require_module("cfgrib")
        with xr.open_dataset(source, engine="cfgrib", backend_kwargs={"indexpath": ""}) as dataset:
            dataset.to_netcdf(out)
        members = truth.values
    else:  # CDO has no members: it takes the messages of one
        grib_copy, one = require_tool("grib_copy"), tmp_path / "one.grib"
        subprocess.run([grib_copy, "-w", "number=3", str(source), str(one)], check=True)
        subprocess.run([require_tool("cdo"), "-s", "-f", "nc", "copy", str(one), str(out)], check=True)
        members = truth.values[3:4]
    fields = read_fields(out, wanted, time)
    assert fields.values.shape == members.shape
    np.testing.assert_allclose(fields.values, members, rtol=1e-5)
    np.testing.assert_array_equal(fields.lat, truth.lat)
