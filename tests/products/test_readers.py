"""Round trips through independent readers: the same values within packing error, times, levels, units, members.

| reader      | library below          | GRIB2 | netCDF |
|-------------|------------------------|-------|--------|
| cfgrib      | ecCodes                | x     |        |
| CDO         | its own and ecCodes    | x     | mean, spread |
| gribberish  | its own, in Rust       | x     |        |
| rasterio    | GDAL: g2clib, libaec   | x     |        |
| xarray      | netCDF4, netCDF-C      |       | x      |
| ncdump      | Debian's netCDF-C      |       | x      |
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dacycle.cycler.products.ensemble import Ensemble
from dacycle.cycler.products.netcdf import STEPS
from dacycle.cycler.products.publish import publish
from tests.products.samples import ensemble, request
from tests.tools import require_module, require_tool


@pytest.fixture(scope="module")
def sample() -> Ensemble:
    return ensemble()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sample: Ensemble) -> Path:
    folder = tmp_path_factory.mktemp("products")
    publish(folder / "analysis", request())
    publish(folder / "forecast", request(analysis=None, forecasts=(ensemble(hours=6), ensemble(hours=12, seed=1))))
    return folder


def packing(sample: Ensemble, index: int) -> float:
    """The most that 16 bits may change a channel's values; half a step, which binary scaling at most doubles."""
    values = sample.states[:, index]
    return float(np.ptp(values) / (2**16 - 1) + np.spacing(np.abs(values).max()))


def cfgrib_fields(path: Path) -> Iterator[tuple[str, xr.DataArray]]:
    """(channel name, array) of everything in a file; one dataset per kind of level, as cfgrib has it."""
    cfgrib = require_module("cfgrib")
    for dataset in cfgrib.open_datasets(str(path), backend_kwargs={"indexpath": ""}):
        for name, array in dataset.data_vars.items():
            levels = np.atleast_1d(array.coords["isobaricInhPa"]) if "isobaricInhPa" in array.coords else [None]
            for level in levels:
                picked = array.sel(isobaricInhPa=level) if "isobaricInhPa" in array.dims else array
                letter = {"gh": "z", "t2m": "2t", "u10": "10u", "v10": "10v"}.get(str(name), str(name))
                yield (letter if level is None else f"{letter}{int(level)}"), picked


@pytest.mark.filterwarnings("ignore::FutureWarning:cfgrib")
@pytest.mark.parametrize("kind", ["members", "mean", "spread"])
def test_cfgrib(folder: Path, sample: Ensemble, kind: str) -> None:
    names = [c.name for c in sample.channels]
    seen = set()
    for name, array in cfgrib_fields(folder / "analysis" / f"analysis_{kind}.grib2"):
        k = names.index(name)
        truth = sample.fields(kind)[:, k]  # type: ignore[arg-type]
        assert np.abs(array.values.reshape(truth.shape) - truth).max() <= packing(sample, k), name
        np.testing.assert_allclose(array.latitude, sample.grid.lat, atol=1e-6)
        np.testing.assert_allclose(array.longitude, sample.grid.lon, atol=1e-6)
        assert array.valid_time.values == np.datetime64("2005-08-26T00:00")
        if kind == "members":
            assert array.number.values.tolist() == [1, 2, 3]
        seen.add(name)
    assert seen == set(names)


@pytest.mark.filterwarnings("ignore::FutureWarning:cfgrib")
def test_cfgrib_sees_the_steps_of_a_forecast(folder: Path) -> None:
    for _, array in cfgrib_fields(folder / "forecast" / "forecast_members.grib2"):
        assert (array.step.values / np.timedelta64(1, "h")).tolist() == [6, 12]
        assert array.time.values == np.datetime64("2005-08-26T00:00")


@pytest.mark.parametrize("name", ["analysis_members.grib2", "analysis_mean.grib2", "analysis_spread.grib2"])
def test_gdal_through_rasterio(folder: Path, sample: Ensemble, name: str) -> None:
    rasterio = require_module("rasterio")
    kind = name.split("_")[1].split(".")[0]
    with rasterio.open(folder / "analysis" / name) as file:
        values, tags = file.read(), [file.tags(band) for band in range(1, file.count + 1)]
    fields = sample.fields(kind)  # type: ignore[arg-type]
    truth = fields.swapaxes(0, 1).reshape(-1, *sample.grid.shape).astype(np.float64)
    assert values.shape == truth.shape
    for band, expected, tag in zip(values, truth, tags, strict=True):
        # GDAL turns kelvin into degrees Celsius by default.
        shift = 273.15 if tag["GRIB_UNIT"] == "[C]" else 0.0
        assert (
            np.abs(band + shift - expected).max() <= np.ptp(expected) / (2**16 - 1) * 2 + 1e-6 * np.abs(expected).max()
        )
        assert int(tag["GRIB_VALID_TIME"]) == 1125014400
    elements = [tag["GRIB_ELEMENT"] for tag in tags]
    assert elements[:: len(fields)][4:9] == ["TMP", "UGRD", "VGRD", "SPFH", "HGT"]


def test_gribberish(folder: Path, sample: Ensemble) -> None:
    gribberish = require_module("gribberish")
    content = (folder / "analysis" / "analysis_members.grib2").read_bytes()
    truth = sample.states.swapaxes(0, 1).reshape(-1, sample.grid.lat.size * sample.grid.lon.size)
    start = 0
    for expected in truth:
        length = int.from_bytes(content[start + 8 : start + 16], "big")
        values = gribberish.parse_grib_array(content, start)
        allowed = np.ptp(expected) / (2**16 - 1) * 2 + 1e-6 * np.abs(expected).max()
        assert np.abs(values.ravel() - expected).max() <= allowed
        start += length
    assert start == len(content)


def cdo(*arguments: str | Path) -> str:
    command = [require_tool("cdo"), "-s", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if arguments[-1].suffix == ".grib2":  # type: ignore[union-attr]
        assert "Warning" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "variable", "level", "channel"),
    [
        ("analysis_mean.grib2", "t", 85000, "t850"),
        ("analysis_mean.grib2", "gh", 50000, "z500"),
        ("analysis_spread.grib2", "u", 25000, "u250"),
        ("analysis.nc", "t850_mean", None, "t850"),
        ("analysis.nc", "q850_spread", None, "q850"),
    ],
)
def test_cdo_values(folder: Path, sample: Ensemble, name: str, variable: str, level: int | None, channel: str) -> None:
    kind = "spread" if "spread" in name + variable else "mean"
    k = [c.name for c in sample.channels].index(channel)
    choose = [f"-selname,{variable}"] + ([f"-sellevel,{level}"] if level else [])
    shown = cdo("outputf,%.9g,1", *choose, folder / "analysis" / name)
    values = np.array(shown.split(), float).reshape(sample.grid.shape)
    truth = sample.fields(kind)[0, k]  # type: ignore[arg-type]
    step = STEPS[sample.channels[k].variable] if name.endswith(".nc") else np.ptp(truth) / 2**16 * 2
    assert np.abs(values - truth).max() <= step / 2 * 1.001 + 1e-6 * np.abs(truth).max()


def test_cdo_grid_and_time(folder: Path) -> None:
    for name in ("analysis_members.grib2", "analysis_mean.grib2"):
        description = cdo("griddes", folder / "analysis" / name)
        assert re.search(r"gridtype\s*=\s*gaussian", description)
        assert re.search(r"ysize\s*=\s*16", description)
        assert cdo("showtimestamp", folder / "analysis" / name).split() == ["2005-08-26T00:00:00"]
    shown = cdo("showtimestamp", folder / "forecast" / "forecast_mean.grib2").split()
    assert shown == ["2005-08-26T06:00:00", "2005-08-26T12:00:00"]
    assert cdo("showtimestamp", folder / "forecast" / "forecast.nc").split() == shown


def test_xarray(folder: Path, sample: Ensemble) -> None:
    with xr.open_dataset(folder / "analysis" / "analysis.nc") as dataset:
        for k, c in enumerate(sample.channels):
            array = dataset[c.netcdf_name]
            half = STEPS[c.variable] / 2 * 1.001 + np.spacing(np.abs(sample.states[:, k]).max())
            assert np.abs(array.values[:, 0] - sample.states[:, k]).max() <= half
            assert array.attrs["units"] == c.units
        assert dataset.time.values[0] == np.datetime64("2005-08-26T00:00")
        assert dataset.realization.values.tolist() == [1, 2, 3]
        assert float(dataset["z500"].pressure_500) == 500
    with xr.open_dataset(folder / "analysis" / "observations.nc") as dataset:
        assert dataset.station.values[0] == "XXM00000001"


def test_ncdump(folder: Path, sample: Ensemble) -> None:
    """The C library of the system, as text: the same numbers, times and units as were written."""
    path, tool = str(folder / "analysis" / "analysis.nc"), require_tool("ncdump")

    def dump(*arguments: str) -> str:
        return subprocess.run([tool, *arguments, path], capture_output=True, text=True, check=True).stdout

    header = dump("-h")
    assert 't850:units = "K" ;' in header
    assert 'z500:standard_name = "geopotential_height" ;' in header
    assert 'time = "2005-08-26"' in dump("-t", "-v", "time")
    for name in ("t850", "q850_mean", "u250_spread"):
        k = [c.netcdf_name for c in sample.channels].index(name.split("_")[0])
        kind = name.split("_")[1] if "_" in name else "members"
        text = dump("-p", "9,17", "-v", name).split(f"{name} =")[-1].split(";")[0]
        values = np.array(text.replace("\n", " ").split(","), float).reshape(-1, *sample.grid.shape)
        truth = sample.fields(kind)[:, k]  # type: ignore[arg-type]
        step = STEPS[sample.channels[k].variable]
        assert np.abs(values - truth).max() <= step / 2 * 1.001 + np.spacing(np.abs(truth).max())
