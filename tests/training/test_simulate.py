"""What `dacycle simulate nature` writes, and, where the nature model is installed, that an interrupted run goes on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
from torch import Tensor

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.branch import open_donor, pressure_on
from dacycle.cycler.training.nature import NatureFile, open_nature
from dacycle.cycler.training.simulate import NatureRun, choose_device, create, simulate
from dacycle.cycler.training.simulate_command import runs
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.spectral import Harmonics
from dacycle.errors import SourceError

BY_NAME = {channel.name: channel for channel in DEFAULT_CHANNELS}
RUN = NatureRun(42, 5, datetime(2001, 1, 1, tzinfo=UTC), 1, 1)


def test_files_carry_cf_metadata_and_open_as_training_data(tmp_path: Path) -> None:
    grid, path = gaussian_grid(16, 32), tmp_path / "run.nc"
    with netCDF4.Dataset(path, "w") as file:
        create(file, RUN, grid.lat, grid.lon, np.full((16, 32), 120.0), np.ones((16, 32)))
        file["time"][:] = [24.0, 30.0]
        for channel in DEFAULT_CHANNELS:
            file[channel.netcdf_name][:2] = file[channel.netcdf_name].add_offset + np.zeros((2, 16, 32))
        file["tp"][:2] = 1e-4
    with netCDF4.Dataset(path) as file:
        assert file.Conventions == "CF-1.11"
        assert (file.seed, file.truncation) == (5, 42)
        assert "simulated" in file.comment
        assert (file["time"].standard_name, file["time"].axis) == ("time", "T")
        for channel in DEFAULT_CHANNELS:
            variable = file[channel.netcdf_name]
            assert (variable.standard_name, variable.units) == (channel.standard_name, channel.units)
        assert file["tp"].standard_name == "precipitation_flux"
    run = open_nature(path)
    assert run.times == (datetime(1990, 1, 2, tzinfo=UTC), datetime(1990, 1, 2, 6, tzinfo=UTC))
    np.testing.assert_allclose(run.precipitation()[1], 1e-4, atol=1e-6)
    np.testing.assert_allclose(run.orography, 120.0)


def test_members_have_seeds_and_files_of_their_own() -> None:
    assert runs(7, 1, Path("a/run.nc")) == [(7, Path("a/run.nc"))]
    assert runs(7, 2, Path("a/run.nc")) == [(7, Path("a/run-seed7.nc")), (8, Path("a/run-seed8.nc"))]


def test_the_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "somewhere")
    choose_device("auto")
    import os

    assert os.environ["JAX_PLATFORMS"] == "somewhere"
    choose_device("gpu")
    assert os.environ["JAX_PLATFORMS"] == "cuda"
    choose_device("cpu")
    assert os.environ["JAX_PLATFORMS"] == "cpu"


def test_other_truncations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"truncation 63 is not known; expected one of \[31, 42, 85\]"):
        NatureRun(63, 1, RUN.start, 1, 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("jcm", reason="the extra `simulate` is not installed")
    short = NatureRun(31, 1, RUN.start, 1, 1)
    simulate(short, tmp_path / "run.nc", lambda text, fraction: None)
    simulate(NatureRun(31, 1, RUN.start, 1, 2), tmp_path / "run.nc", lambda text, fraction: None)
    run = open_nature(tmp_path / "run.nc")
    assert len(run.times) == 8
    assert np.isfinite(run.read(DEFAULT_CHANNELS[0])).all()


def test_surface_pressure_follows_the_mountains_and_keeps_the_mass() -> None:
    flat, mountains = np.zeros((16, 32)), np.zeros((16, 32))
    mountains[4, 8] = 3000.0
    np.testing.assert_allclose(pressure_on(np.full((16, 32), 98500.0), mountains, mountains), 98500.0)
    moved = pressure_on(np.full((16, 32), 101325.0), flat, mountains)
    weights = gaussian_grid(16, 32).weights[:, None]
    np.testing.assert_allclose((moved * weights).mean(), (101325.0 * weights).mean())
    # ICAO Doc 7488, table 4: 701.08 hPa at 3000 geopotential metres, 1013.25 hPa at sea level.
    np.testing.assert_allclose(moved[4, 8] / moved[0, 0], 701.08 / 1013.25, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_starts_from_the_last_state_of_a_coarser_one(tmp_path: Path) -> None:
    pytest.importorskip("jcm", reason="the extra `simulate` is not installed")
    simulate(NatureRun(31, 1, RUN.start, 19, 1), tmp_path / "coarse.nc", lambda text, fraction: None)
    start = open_donor(tmp_path / "coarse.nc").time
    assert start == RUN.start + timedelta(days=20)
    branch = NatureRun(42, 2, start, 0, 1, tmp_path / "coarse.nc")
    simulate(branch, tmp_path / "fine.nc", lambda text, fraction: None)
    coarse, fine = open_nature(tmp_path / "coarse.nc"), open_nature(tmp_path / "fine.nc")
    assert fine.times[0] == coarse.times[-1] + timedelta(hours=6)
    harmonics = {run.grid.shape: Harmonics(run.grid, 16) for run in (coarse, fine)}

    def large_scales(run: NatureFile, name: str, frame: int) -> Tensor:
        values = torch.as_tensor(run.read(BY_NAME[name], slice(frame, frame + 1)))
        return harmonics[run.grid.shape].analyse(values)[0, 1:]

    for name in ("z500", "t850", "u250"):
        before, after = large_scales(coarse, name, 3), large_scales(fine, name, 0)
        assert (after - before).norm() < 0.25 * before.norm(), name  # from rest: by one or more
    with pytest.raises(SourceError, match="expected a run of at most"):
        simulate(NatureRun(31, 2, start, 0, 1, tmp_path / "fine.nc"), tmp_path / "no.nc", lambda text, fraction: None)
