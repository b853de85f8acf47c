"""A nature run as written by ``dacycle simulate nature``."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np

from dacycle.channels import Channel
from dacycle.cycler.time_axis import read_times
from dacycle.cycler.training.dataset import FloatArray, Period
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.errors import SourceError

__all__ = ["NatureFile", "open_nature"]


@dataclass(frozen=True)
class NatureFile:
    """A ``Dataset`` on the run's own grid; ``first`` frames of the file are left out."""

    path: Path
    grid: Grid
    times: tuple[datetime, ...]
    orography: FloatArray
    land: FloatArray
    first: int = 0

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def read(self, channel: Channel, frames: slice = slice(None)) -> FloatArray:
        """(frames, nlat, nlon), physical units."""
        return self._values(channel.netcdf_name, frames)

    def precipitation(self, frames: slice = slice(None)) -> FloatArray:
        """(frames, nlat, nlon), kg m-2 s-1."""
        return self._values("tp", frames)

    def _values(self, name: str, frames: slice) -> FloatArray:
        chosen = range(len(self.times))[frames]
        with netCDF4.Dataset(self.path) as file:
            if name not in file.variables:
                raise SourceError(f"{self.path}: the run lacks the variable {name}")
            part = slice(self.first + chosen.start, self.first + chosen.stop, chosen.step)
            values = np.ma.filled(file[name][part].astype(np.float32), np.nan)
        if not np.isfinite(values).all():
            raise SourceError(f"{self.path}: {name} has missing or infinite values")
        return np.asarray(values)


def open_nature(path: Path, period: Period | None = None) -> NatureFile:
    """Read the axes and statics; SourceError where the file is not a nature run on a Gaussian grid."""
    try:
        with netCDF4.Dataset(path) as file:
            grid = gaussian_grid(len(file.dimensions["lat"]), len(file.dimensions["lon"]))
            if not np.allclose(file["lat"][:], grid.lat, atol=1e-3):
                raise SourceError(f"{path}: expected Gaussian latitudes from north to south; got {file['lat'][:2]} ...")
            times = read_times(file)
            orography, land = (np.asarray(file[name][:], dtype=np.float32) for name in ("orography", "land"))
    except (OSError, KeyError, IndexError, ValueError) as error:
        raise SourceError(f"{path}: expected a nature run written by `dacycle simulate`; {error}") from error
    run = NatureFile(path, grid, times, orography, land)
    if period is None:
        return run
    inside = [k for k, time in enumerate(times) if period[0] <= time <= period[1]]
    if not inside:
        raise SourceError(f"{path}: nothing between {period[0]:%Y-%m-%d} and {period[1]:%Y-%m-%d}")
    return replace(run, times=times[inside[0] : inside[-1] + 1], first=inside[0])
