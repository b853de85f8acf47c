"""Nature runs on the emulator's grid: exact truncation, gaps in time, clear errors."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.coarse import EmulatorData, join, read_dataset, split_tail
from dacycle.cycler.training.nature import open_nature
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.errors import SourceError

FINE, COARSE = gaussian_grid(16, 32), gaussian_grid(8, 16)
HOURS = [0, 6, 12, 24, 30]


def _wave(grid: Grid, time: int = 0) -> np.ndarray:
    """Degree 2, order 1: resolved by both grids."""
    latitude, longitude = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)
    return np.sin(latitude) * np.cos(latitude) * np.cos(longitude + 0.1 * time)


def _write(path: Path, without: str = "", hours: list[int] = HOURS, lat: np.ndarray = FINE.lat) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", len(hours)), ("lat", 16), ("lon", 32)):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = hours
        file["time"].units = "hours since 2001-02-03 00:00:00"
        file.createVariable("lat", "f8", ("lat",))[:] = lat
        names = [c.netcdf_name for c in DEFAULT_CHANNELS]
        for i, name in enumerate([*names, "tp"]):
            if name != without:
                fields = np.stack([0.01 * i + 1e-3 * _wave(FINE, t) for t in range(len(hours))])
                file.createVariable(name, "f4", ("time", "lat", "lon"))[:] = fields
        file.createVariable("orography", "f4", ("lat", "lon"))[:] = 100 * _wave(FINE)
        file.createVariable("land", "f4", ("lat", "lon"))[:] = 2 * _wave(FINE)
    return path


def read(path: Path) -> EmulatorData:
    return read_dataset(open_nature(path), DEFAULT_CHANNELS, (8, 16))


def test_reads_states_statics_and_segments(tmp_path: Path) -> None:
    data = read(_write(tmp_path / "run.nc"))
    assert data.states.shape == (5, 17, 8, 16)
    assert np.allclose(data.states[3, 4], 0.04 + 1e-3 * _wave(COARSE, 3), atol=1e-6)
    assert np.allclose(data.precipitation[2], 0.17 + 1e-3 * _wave(COARSE, 2), atol=1e-6)
    assert np.allclose(data.orography, 100 * _wave(COARSE), atol=1e-3)
    assert data.land.min() == 0.0
    assert data.land.max() <= 1.0
    assert data.times == [datetime(2001, 2, 3, tzinfo=UTC) + timedelta(hours=h) for h in HOURS]
    assert data.segments == [(0, 3), (3, 5)]
    assert data.starts(1).tolist() == [0, 1, 3]
    assert data.starts(2).tolist() == [0]


def test_joined_runs_keep_their_gaps_and_the_tail_is_apart(tmp_path: Path) -> None:
    one = read(_write(tmp_path / "one.nc", hours=list(range(0, 72, 6))))
    both = join([one, one])
    assert both.segments == [(0, 12), (12, 24)]
    train, validation = split_tail(both, days=1, gap_days=0.5)
    assert (len(train.times), len(validation.times)) == (18, 4)
    assert train.segments == [(0, 12), (12, 18)]
    assert validation.segments == [(0, 4)]
    assert np.array_equal(validation.states, both.states[-4:])
    with pytest.raises(SourceError, match="too few"):
        split_tail(one, days=5)


def test_unfit_files_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a nature run written by"):
        read(tmp_path / "absent.nc")
    with pytest.raises(SourceError, match=r"run\.nc: the run lacks the variable z500"):
        read(_write(tmp_path / "run.nc", without="z500"))
    with pytest.raises(SourceError, match="north to south"):
        read(_write(tmp_path / "south.nc", lat=FINE.lat[::-1]))
