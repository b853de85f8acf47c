"""Nature runs on the emulator's grid: six-hourly netCDF -> exact spectral truncation -> ``EmulatorData``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
import torch
from torch_harmonics import InverseRealSHT, RealSHT

from dacycle.channels import Channel
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.errors import SourceError

__all__ = ["EmulatorData", "Truncation", "join", "read_nature_run", "split_tail"]

FloatArray = npt.NDArray[np.float32]
STEP = timedelta(hours=6)
BATCH = 64


@dataclass(frozen=True)
class EmulatorData:
    """Six-hourly states of one world on the emulator's grid.

    ``states`` (T, C, nlat, nlon) physical; ``precipitation`` (T, nlat, nlon) kg m-2 s-1; ``times`` T aware datetimes;
    ``segments`` (start, stop) of contiguous six-hourly runs; ``orography`` (nlat, nlon) m; ``land`` a fraction.
    """

    states: FloatArray
    precipitation: FloatArray
    times: list[datetime]
    segments: list[tuple[int, int]]
    grid: Grid
    channels: tuple[Channel, ...]
    orography: FloatArray
    land: FloatArray

    def starts(self, steps: int) -> npt.NDArray[np.int64]:
        """Indices from which ``steps`` further states follow without a gap."""
        ranges = [np.arange(start, max(start, stop - steps)) for start, stop in self.segments]
        return np.concatenate(ranges).astype(np.int64)


class Truncation:
    """Fields (..., nlat, nlon) on a Gaussian grid -> a coarser one, keeping every degree that the latter resolves."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        degrees = min(source[0], target[0])
        self._analysis = RealSHT(*source, lmax=degrees, mmax=degrees, grid="legendre-gauss").double()
        self._synthesis = InverseRealSHT(*target, lmax=degrees, mmax=degrees, grid="legendre-gauss").double()

    def __call__(self, fields: npt.NDArray[np.floating]) -> FloatArray:
        """The truncated fields, computed in double precision."""
        coarse = self._synthesis(self._analysis(torch.from_numpy(np.ascontiguousarray(fields, dtype=np.float64))))
        return np.asarray(coarse.numpy(), dtype=np.float32)


def read_nature_run(path: Path, channels: tuple[Channel, ...], shape: tuple[int, int]) -> EmulatorData:
    """The states of a nature run (see ``simulate``) truncated to the Gaussian grid ``shape``; SourceError if unfit."""
    try:
        file = netCDF4.Dataset(path)
    except OSError as error:
        raise SourceError(f"{path}: expected a netCDF nature run; {error}") from error
    with file:
        wanted = [c.netcdf_name for c in channels]
        missing = [n for n in ["time", "lat", "tp", "orography", "land", *wanted] if n not in file.variables]
        if missing:
            raise SourceError(f"{path}: expected a nature run with {wanted}, tp and statics; missing: {missing}")
        latitude = np.asarray(file["lat"][:])
        source = (len(latitude), len(file.dimensions["lon"]))
        if not np.allclose(latitude, gaussian_grid(*source).lat, atol=1e-3):
            raise SourceError(f"{path}: expected Gaussian latitudes from north to south; got {latitude[:3]} ...")
        times = _times(file)
        truncate = Truncation(source, shape)
        states = np.empty((len(times), len(channels), *shape), np.float32)
        rain = np.empty((len(times), *shape), np.float32)
        for first in range(0, len(times), BATCH):
            part = slice(first, min(first + BATCH, len(times)))
            for i, name in enumerate(wanted):
                states[part, i] = truncate(_values(file, name, part))
            rain[part] = truncate(_values(file, "tp", part)).clip(min=0)
        humid = [i for i, c in enumerate(channels) if c.variable == "q"]
        states[:, humid] = states[:, humid].clip(min=0)
        orography = truncate(_values(file, "orography", slice(None)))
        land = truncate(_values(file, "land", slice(None))).clip(0, 1)
    return EmulatorData(states, rain, times, _segments(times), gaussian_grid(*shape), channels, orography, land)


def join(parts: Sequence[EmulatorData]) -> EmulatorData:
    """Runs of the same world, one after the other; the statics are those of the first."""
    offsets = np.cumsum([0, *(len(part.times) for part in parts)])
    moved = [(a + int(o), b + int(o)) for part, o in zip(parts, offsets, strict=False) for a, b in part.segments]
    first = parts[0]
    return EmulatorData(
        np.concatenate([part.states for part in parts]),
        np.concatenate([part.precipitation for part in parts]),
        [time for part in parts for time in part.times],
        moved,
        first.grid,
        first.channels,
        first.orography,
        first.land,
    )


def split_tail(data: EmulatorData, days: float, gap_days: float = 5.0) -> tuple[EmulatorData, EmulatorData]:
    """Training and validation: the last ``days`` of the data, ``gap_days`` before them used by neither."""
    tail, gap = round(days * 4), round(gap_days * 4)
    count = len(data.times)
    if tail + gap >= count:
        raise SourceError(f"{count} states are too few to keep {days} days for validation after a gap of {gap_days}")
    return _part(data, 0, count - tail - gap), _part(data, count - tail, count)


def _part(data: EmulatorData, first: int, last: int) -> EmulatorData:
    inside = [(max(a, first) - first, min(b, last) - first) for a, b in data.segments if a < last and b > first]
    states, rain = data.states[first:last], data.precipitation[first:last]
    return EmulatorData(
        states, rain, data.times[first:last], inside, data.grid, data.channels, data.orography, data.land
    )


def _values(file: netCDF4.Dataset, name: str, part: slice) -> npt.NDArray[np.floating]:
    values = np.ma.filled(file[name][part].astype(np.float64), np.nan)
    if not np.isfinite(values).all():
        raise SourceError(f"{file.filepath()}: {name} has missing or infinite values")
    return np.asarray(values)


def _times(file: netCDF4.Dataset) -> list[datetime]:
    raw: Any = netCDF4.num2date(file["time"][:], file["time"].units, only_use_cftime_datetimes=False)
    return [datetime(t.year, t.month, t.day, t.hour, tzinfo=UTC) for t in np.atleast_1d(raw)]


def _segments(times: list[datetime]) -> list[tuple[int, int]]:
    breaks = [i for i in range(1, len(times)) if times[i] - times[i - 1] != STEP]
    return list(zip([0, *breaks], [*breaks, len(times)], strict=True))
