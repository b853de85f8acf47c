"""A truth that is made up: every frame is what a test says of it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from dacycle.channels import Channel
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import Grid

START = datetime(2001, 8, 25, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class MadeWorld(ABC):
    """A ``Dataset`` of ``frames`` six-hourly states on the ``bundle``'s grid."""

    bundle: Bundle
    frames: int

    name = "made up"

    @abstractmethod
    def anomalies(self, number: int) -> np.ndarray:
        """(channels, nlat, nlon) of a frame, over the bundle's standard deviation."""

    @property
    def grid(self) -> Grid:
        return self.bundle.grid

    @property
    def times(self) -> tuple[datetime, ...]:
        return tuple(START + timedelta(hours=6 * k) for k in range(self.frames))

    @property
    def orography(self) -> np.ndarray:
        return self.bundle.orography

    @property
    def land(self) -> np.ndarray:
        return self.bundle.land

    def read(self, channel: Channel, frames: slice = slice(None)) -> np.ndarray:
        (number,) = range(self.frames)[frames]
        k, climate = self.bundle.index(channel.name), self.bundle.climatology
        return np.asarray(climate.mean(self.times[number])[k] + self.anomalies(number)[k] * climate.std[k])[None]

    def precipitation(self, frames: slice = slice(None)) -> np.ndarray:
        raise NotImplementedError
