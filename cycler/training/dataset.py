"""What a bundle is trained on: six-hourly global fields on a Gaussian grid, from a nature run or from a reanalysis.

A dataset is named by its location: a netCDF file of ``dacycle simulate nature``, or a zarr store of ERA5 in
WeatherBench's or CDS's layout (a folder or an address). ``location@2000-01-01/2009-12-31`` takes a period of it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.emulators.grid import Grid
from dacycle.errors import SourceError

__all__ = ["Dataset", "Period", "open_dataset", "span", "state"]

FloatArray = npt.NDArray[np.float32]
Period = tuple[datetime, datetime]
DEFAULT_SHAPE = (128, 256)


class Dataset(Protocol):
    """Fields north to south, longitude from 0; ``orography`` in m, ``land`` a fraction, both (nlat, nlon)."""

    @property
    def name(self) -> str: ...

    @property
    def grid(self) -> Grid: ...

    @property
    def times(self) -> tuple[datetime, ...]: ...

    @property
    def orography(self) -> FloatArray: ...

    @property
    def land(self) -> FloatArray: ...

    def read(self, channel: Channel, frames: slice = slice(None)) -> FloatArray:
        """(frames, nlat, nlon) in the channel's units; SourceError where the dataset lacks the channel."""
        ...

    def precipitation(self, frames: slice = slice(None)) -> FloatArray:
        """(frames, nlat, nlon), kg m-2 s-1."""
        ...


def open_dataset(location: str | Path, shape: tuple[int, int] = DEFAULT_SHAPE) -> Dataset:
    """The dataset at a location (see above). ``shape``: the Gaussian grid that a reanalysis, which has another, is
    truncated to; a nature run keeps its own. SourceError where there is none."""
    from dacycle.cycler.training.nature import open_nature
    from dacycle.cycler.training.reanalysis import is_zarr, open_reanalysis

    place, period = _split(str(location))
    return open_reanalysis(place, shape, period) if is_zarr(place) else open_nature(Path(place), period)


def _split(location: str) -> tuple[str, Period | None]:
    place, at, period = location.rpartition("@")
    if not at:
        return location, None
    try:
        first, last = (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) for day in period.split("/"))
    except ValueError:
        raise SourceError(f"{location}: expected a period as @2000-01-01/2009-12-31 after the location") from None
    return place, (first, last + timedelta(days=1) - timedelta(microseconds=1))


def state(data: Dataset, channels: Sequence[Channel], frame: int) -> FloatArray:
    """One frame of all ``channels``: (channels, nlat, nlon)."""
    return np.stack([data.read(c, slice(frame, frame + 1))[0] for c in channels])


def span(times: Sequence[datetime]) -> str:
    """First and last day, for people."""
    return f"{times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}"
