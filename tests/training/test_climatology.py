"""The climatology of made-up nature runs whose annual cycle is known."""

from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.climatology import fit_climatology
from dacycle.cycler.training.frames import load_frames
from dacycle.cycler.training.nature import open_nature
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.season import season_basis
from dacycle.errors import SourceError

T850 = next(c for c in DEFAULT_CHANNELS if c.name == "t850")


def write_run(path: Path, shape: tuple[int, int], first: int, days: int, mean: float, noise: float) -> Path:
    """Daily t850 = mean + 5 cos(season) sin(lat) + noise; hours since 2000-01-01 from day ``first`` on."""
    grid = gaussian_grid(*shape)
    rng = np.random.default_rng(days)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("lat", shape[0]), ("lon", shape[1])):
            file.createDimension(name, size)
        file.createVariable("lat", "f8", ("lat",))[:] = grid.lat
        file.createVariable("lon", "f8", ("lon",))[:] = grid.lon
        hours = 24.0 * (first + np.arange(days))
        file.createVariable("time", "f8", ("time",))[:] = hours
        file["time"].units = "hours since 2000-01-01 00:00:00"
        for name in ("orography", "land"):
            file.createVariable(name, "f4", ("lat", "lon"))[:] = 0.0
        cosine = np.cos(2 * np.pi * hours / 24 / 365.2425)[:, None, None]
        wave = 5.0 * cosine * np.sin(np.deg2rad(grid.lat))[:, None]
        file.createVariable("t850", "f4", ("time", "lat", "lon"))[:] = (
            mean + wave + noise * rng.normal(size=(days, *shape))
        )
    return path


def test_a_short_run_borrows_its_season_from_a_long_one(tmp_path: Path) -> None:
    run = open_nature(write_run(tmp_path / "run.nc", (16, 32), 0, 90, 280.0, 1.0))
    helper = open_nature(write_run(tmp_path / "helper.nc", (8, 16), 0, 730, 270.0, 1.0))
    climatology = fit_climatology([run], [helper], [T850])
    north = np.sin(np.deg2rad(run.grid.lat))[:, None]
    np.testing.assert_allclose(climatology.coefficients[0, 0].mean(), 280.0, atol=0.2)
    assert np.abs(climatology.coefficients[1, 0] - 5.0 * north).mean() < 0.5
    np.testing.assert_allclose(climatology.std[0].mean(), 1.0, atol=0.1)
    alone = fit_climatology([run], [], [T850])
    assert (
        np.abs(alone.coefficients[1, 0] - 5.0 * north).mean()
        > 2 * np.abs(climatology.coefficients[1, 0] - 5.0 * north).mean()
    )


def test_frames_are_anomalies_over_standard_deviation(tmp_path: Path) -> None:
    run = open_nature(write_run(tmp_path / "run.nc", (16, 32), 0, 400, 280.0, 2.0))
    climatology = fit_climatology([run], [], [T850])
    frames = load_frames(run, [T850], climatology, slice(100, 300))
    assert frames.values.shape == (200, 1, 16, 32)
    values = frames.values.float()
    assert values.mean().item() == pytest.approx(0.0, abs=0.05)
    assert values.std().item() == pytest.approx(1.0, abs=0.05)
    expected = season_basis(datetime(2000, 4, 10, tzinfo=UTC))[1:3]
    np.testing.assert_allclose(frames.season[0, :2].numpy(), expected, atol=1e-5)


def test_a_file_that_is_no_nature_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.nc").write_text("nothing")
    with pytest.raises(SourceError, match=r"bad\.nc: expected a nature run"):
        open_nature(tmp_path / "bad.nc")
    path = write_run(tmp_path / "run.nc", (8, 16), 0, 4, 280.0, 1.0)
    with netCDF4.Dataset(path, "r+") as file:
        file["lat"][:] = np.linspace(90, -90, 8)
    with pytest.raises(SourceError, match="expected Gaussian latitudes from north to south"):
        open_nature(path)
