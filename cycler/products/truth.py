"""The gridded truth of the simulated world, as ``dacycle simulate soundings`` cuts it from a nature run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.time_axis import read_times
from dacycle.errors import SourceError

__all__ = ["Truth", "open_truth"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """Fields at ``times`` (aware UTC), on the analysis grid, north to south."""

    path: Path
    times: tuple[datetime, ...]

    def read(self, channels: Sequence[Channel], time: datetime) -> FloatArray:
        """(channels, nlat, nlon), the channels' units; SourceError for a time or channel that is not there."""
        if time not in self.times:
            first, last = self.times[0], self.times[-1]
            raise SourceError(
                f"{self.path}: no truth at {time:%Y-%m-%dT%H}; it has {first:%Y-%m-%dT%H} to {last:%Y-%m-%dT%H}"
            )
        with netCDF4.Dataset(self.path) as file:
            missing = [c.name for c in channels if c.netcdf_name not in file.variables]
            if missing:
                raise SourceError(f"{self.path}: the truth lacks the channels {' '.join(missing)}")
            k = self.times.index(time)
            return np.stack([np.asarray(file[c.netcdf_name][k], dtype=np.float32) for c in channels])


def open_truth(path: Path) -> Truth:
    """The file's times; SourceError where it is not gridded truth."""
    try:
        with netCDF4.Dataset(path) as file:
            times = read_times(file)
    except (OSError, IndexError, KeyError, AttributeError, ValueError) as error:
        raise SourceError(f"{path}: expected gridded truth with times in hours since a date; {error}") from error
    return Truth(path, times)
