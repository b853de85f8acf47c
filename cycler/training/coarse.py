"""A dataset on the emulator's grid, by exact spectral truncation, all of it in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import torch

from dacycle.channels import Channel
from dacycle.cycler.assimilation.fields import regrid
from dacycle.cycler.training.dataset import Dataset
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.errors import SourceError

__all__ = ["EmulatorData", "join", "read_dataset", "split_tail"]

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


def read_dataset(data: Dataset, channels: tuple[Channel, ...], shape: tuple[int, int]) -> EmulatorData:
    """The states of a dataset, truncated spectrally to the Gaussian grid ``shape``."""
    grid = gaussian_grid(*shape)

    def truncate(fields: FloatArray) -> FloatArray:
        return np.asarray(regrid(torch.from_numpy(fields), data.grid, grid).numpy(), dtype=np.float32)

    count = len(data.times)
    states = np.empty((count, len(channels), *shape), np.float32)
    rain = np.empty((count, *shape), np.float32)
    for first in range(0, count, BATCH):
        part = slice(first, min(first + BATCH, count))
        for i, channel in enumerate(channels):
            states[part, i] = truncate(data.read(channel, part))
        rain[part] = truncate(data.precipitation(part)).clip(min=0)
    humid = [i for i, c in enumerate(channels) if c.variable == "q"]
    states[:, humid] = states[:, humid].clip(min=0)
    times, orography, land = list(data.times), truncate(data.orography), truncate(data.land).clip(0, 1)
    return EmulatorData(states, rain, times, _segments(times), grid, channels, orography, land)


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


def _segments(times: list[datetime]) -> list[tuple[int, int]]:
    breaks = [i for i in range(1, len(times)) if times[i] - times[i - 1] != STEP]
    return list(zip([0, *breaks], [*breaks, len(times)], strict=True))
