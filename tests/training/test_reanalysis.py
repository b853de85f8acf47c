"""ERA5's layouts as training data: names, units, orders of axes, and an exact transform to the Gaussian grid."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dacycle.channels import DEFAULT_CHANNELS, channel
from dacycle.cycler.training.coarse import read_dataset
from dacycle.cycler.training.dataset import open_dataset
from dacycle.cycler.training.equiangular import FromRegular, quadrature
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import SourceError
from tests.tools import require_module

TARGET = gaussian_grid(16, 32)
LEVELS = [250, 500, 850]
LONG = {"t": "temperature", "u": "u_component_of_wind", "v": "v_component_of_wind", "q": "specific_humidity"}
LONG |= {"z": "geopotential"}


def wave(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """A field of degree 6."""
    a, o = np.deg2rad(lat)[:, None], np.deg2rad(lon)
    return np.sin(a) * np.cos(a) * np.cos(o) + np.cos(a) ** 5 * np.sin(a) * np.sin(5 * o + 0.3) + np.sin(a) ** 3


@pytest.mark.parametrize("first", [0.0, -180.0, 2.5])
@pytest.mark.parametrize("lat", [np.linspace(90, -90, 37), np.linspace(-90, 90, 73), -87.1875 + 5.625 * np.arange(32)])
def test_resolved_degrees_are_transformed_exactly(lat: np.ndarray, first: float) -> None:
    lon = first + np.arange(72) * 5.0
    found = FromRegular(lat, lon, TARGET)(np.stack([wave(lat, lon), 3 + 0 * wave(lat, lon)]))
    np.testing.assert_allclose(found[0], wave(TARGET.lat, TARGET.lon), atol=1e-6)
    np.testing.assert_allclose(found[1], 3.0, atol=1e-6)


def test_what_the_target_does_not_resolve_is_cut_off() -> None:
    lat, lon = np.linspace(90, -90, 73), np.arange(144) * 2.5
    high = np.cos(np.deg2rad(lat))[:, None] ** 20 * np.cos(20 * np.deg2rad(lon))  # degree and order 20
    assert np.abs(FromRegular(lat, lon, TARGET)(high)).max() < 1e-6


def test_the_quadrature_is_exact_for_polynomials() -> None:
    x = np.sin(np.deg2rad(np.linspace(90, -90, 33)))
    for power in (0, 2, 7, 32):
        assert quadrature(x) @ x**power == pytest.approx(0.0 if power % 2 else 2 / (power + 1), abs=1e-13)


def test_unfit_axes_are_told() -> None:
    with pytest.raises(ValueError, match="equal steps around the globe"):
        FromRegular(np.linspace(90, -90, 9), np.arange(9) * 10.0, TARGET)
    with pytest.raises(ValueError, match="between -90 and 90"):
        FromRegular(np.linspace(95, -90, 9), np.arange(8) * 45.0, TARGET)


def write_zarr(path: Path, layout: str, hours: int = 6, steps: int = 9, drop: str = "") -> Path:
    """A small store in WeatherBench's layout (longitude before latitude, south first) or in CDS's (north first)."""
    weatherbench = layout == "weatherbench"
    lat = -87.1875 + 5.625 * np.arange(32) if weatherbench else np.linspace(90, -90, 37)
    lon = np.arange(64) * 5.625
    time = np.datetime64("2001-02-03") + np.arange(steps) * np.timedelta64(hours, "h")
    names = {"time": "time" if weatherbench else "valid_time", "level": "level" if weatherbench else "pressure_level"}
    shape = wave(lat, lon)
    growth = 1 + 0.1 * np.arange(steps)[:, None, None]
    levels = np.array(LEVELS, float)[:, None, None]

    def flat(values: np.ndarray) -> xr.Variable:
        variable = xr.Variable((names["time"], "latitude", "longitude"), values.astype(np.float32))
        return variable.transpose(names["time"], "longitude", "latitude") if weatherbench else variable

    def deep(values: np.ndarray) -> xr.Variable:
        dims = (names["time"], names["level"], "latitude", "longitude")
        variable = xr.Variable(dims, values.astype(np.float32))
        return variable.transpose(*dims[:2], "longitude", "latitude") if weatherbench else variable

    long = ["2m_temperature", "10m_u_component_of_wind", "10m_v_component_of_wind", "surface_pressure"]
    surface = long if weatherbench else ["t2m", "u10", "v10", "sp"]
    content = {name: flat((k + 1) * shape * growth) for k, name in enumerate(surface)}
    for k, letter in enumerate("tuvqz"):
        base = 2.0 if letter == "q" else 0.0
        content[LONG[letter] if weatherbench else letter] = deep(
            base + (k + 1) * levels / 1000 * (shape * growth)[:, None]
        )
    rain = "total_precipitation_6hr" if weatherbench else "tp"
    content[rain] = flat(0.006 * (2 + shape) * growth)
    static = {"latitude": len(lat), "longitude": len(lon)}
    for name, field in (("geopotential_at_surface", 9.80665 * 100 * shape), ("land_sea_mask", 0.5 + 0 * shape)):
        content[name] = xr.Variable(tuple(static), field.astype(np.float32))
    content.pop(drop, None)
    coords = {names["time"]: time, names["level"]: LEVELS, "latitude": lat, "longitude": lon}
    xr.Dataset(content, coords).to_zarr(path, zarr_format=2, consolidated=True)
    return path


@pytest.mark.parametrize("layout", ["weatherbench", "cds"])
def test_every_channel_comes_out_in_its_unit(tmp_path: Path, layout: str) -> None:
    require_module("zarr")
    data = open_dataset(write_zarr(tmp_path / "era5.zarr", layout), (16, 32))
    assert data.times[:2] == (datetime(2001, 2, 3, tzinfo=UTC), datetime(2001, 2, 3, 6, tzinfo=UTC))
    expected, growth = wave(TARGET.lat, TARGET.lon), 1.2
    for k, name in enumerate(("2t", "10u", "10v", "sp")):
        np.testing.assert_allclose(data.read(channel(name), slice(2, 3))[0], (k + 1) * expected * growth, atol=1e-5)
    for name, factor, offset in (
        ("t850", 1, 0),
        ("u500", 2, 0),
        ("v250", 3, 0),
        ("q850", 4, 2),
        ("z500", 5 / 9.80665, 0),
    ):
        truth = offset + factor * int(name[1:]) / 1000 * expected * growth
        np.testing.assert_allclose(
            data.read(channel(name), slice(2, 3))[0], truth.clip(0) if offset else truth, atol=1e-5
        )
    seconds = 6 * 3600 if layout == "weatherbench" else 3600
    np.testing.assert_allclose(data.precipitation()[2], 6 * (2 + expected) * growth / seconds, rtol=1e-4)
    np.testing.assert_allclose(data.orography, 100 * expected, atol=1e-3)
    np.testing.assert_allclose(data.land, 0.5, atol=1e-6)
    small = read_dataset(data, DEFAULT_CHANNELS, (8, 16))
    assert small.states.shape == (9, 17, 8, 16)
    assert small.segments == [(0, 9)]


def test_only_synoptic_hours_of_the_asked_period_are_taken(tmp_path: Path) -> None:
    require_module("zarr")
    path = write_zarr(tmp_path / "hourly.zarr", "cds", hours=1, steps=60)
    data = open_dataset(f"{path}@2001-02-04/2001-02-04", (8, 16))
    assert [time.hour for time in data.times] == [0, 6, 12, 18]
    np.testing.assert_allclose(data.read(channel("2t"))[1], wave(data.grid.lat, data.grid.lon) * 4.0, atol=1e-4)
    with pytest.raises(SourceError, match="no six-hourly states in that period"):
        open_dataset(f"{path}@1999-02-04/1999-02-05", (8, 16))
    with pytest.raises(SourceError, match="expected a period as @2000-01-01/2009-12-31"):
        open_dataset(f"{path}@1999", (8, 16))


def test_what_a_store_lacks_is_named(tmp_path: Path) -> None:
    require_module("zarr")
    without = open_dataset(write_zarr(tmp_path / "a.zarr", "weatherbench", drop="specific_humidity"), (8, 16))
    with pytest.raises(SourceError, match="expected a variable specific_humidity or q"):
        without.read(channel("q850"))
    with pytest.raises(SourceError, match=r"no level 700 hPa; it has \[250, 500, 850\]"):
        without.read(channel("t700"))
    with pytest.raises(SourceError, match="expected a zarr store"):
        open_dataset(tmp_path / "nothing.zarr", (8, 16))
    with pytest.raises(SourceError, match="expected a variable land_sea_mask or lsm"):
        open_dataset(write_zarr(tmp_path / "b.zarr", "cds", drop="land_sea_mask"), (8, 16))
