"""What a field product holds: an ensemble of states at one valid time."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.products.thresholds import Threshold, probability
from dacycle.emulators.grid import Grid
from dacycle.errors import ProductError

__all__ = ["LOWER_LIMITS", "Ensemble", "Kind"]

FloatArray = npt.NDArray[np.float32]
Kind = Literal["members", "mean", "spread", "probability"]

LOWER_LIMITS: dict[str, float] = {"q": 0.0, "tp": 0.0}
"""Variable -> the least value that is physically possible; a product never holds less."""


@dataclass(frozen=True)
class Ensemble:
    """States (members, channels, nlat, nlon), float32, physical units; an analysis unless ``hours`` is given.

    ``reference`` (aware UTC) is the analysis time, or the start of the forecast that is ``hours`` old here;
    ``thresholds`` are those whose probabilities are told, too.
    """

    states: FloatArray
    channels: tuple[Channel, ...]
    grid: Grid
    reference: datetime
    hours: int | None = None
    thresholds: tuple[Threshold, ...] = ()

    def __post_init__(self) -> None:
        if self.reference.utcoffset() != timedelta(0):
            raise ValueError(f"the reference time must be aware UTC; got {self.reference}")
        expected = (len(self.channels), *self.grid.shape)
        if self.states.ndim != 4 or self.states.shape[1:] != expected or len(self.states) == 0:
            raise ProductError(f"{self}: expected states of shape (members, {expected}); got {self.states.shape}")
        if not np.isfinite(self.states).all():
            wrong = ~np.isfinite(self.states)
            member, index = (int(i) for i in np.argwhere(wrong.any((2, 3)))[0])
            raise ProductError(
                f"{self}: {wrong.sum()} values are not finite, the first in {self.channels[index].name} of "
                f"member {member + 1}; nothing is written"
            )

    def __str__(self) -> str:
        what = "analysis" if self.hours is None else f"forecast +{self.hours} h"
        return f"{what} of {self.reference:%Y-%m-%dT%H}Z"

    @property
    def members(self) -> int:
        """The number of members."""
        return len(self.states)

    @property
    def time(self) -> datetime:
        """When the states are valid."""
        return (self.reference + timedelta(hours=self.hours or 0)).astimezone(UTC)

    def kinds(self, members: bool = True) -> tuple[Kind, ...]:
        """What can be told of it: a single member has no spread."""
        chosen: tuple[Kind, ...] = ("members", "mean") if members else ("mean",)
        if self.members == 1:
            return chosen
        return (*chosen, "spread", "probability") if self.thresholds else (*chosen, "spread")

    def fields(self, kind: Kind) -> FloatArray:
        """(members, channels, nlat, nlon), or with one in place of members the mean or the spread.

        The spread is the square root of the unbiased variance. Of probabilities there are not channels but thresholds.
        """
        if kind == "members":
            return self.states
        if kind == "probability":
            names = [channel.name for channel in self.channels]
            chosen = [(self.states[:, names.index(t.channel)], t.value, t.comparison) for t in self.thresholds]
            return np.stack([probability(*each) for each in chosen])[None]
        return self._moments[0 if kind == "mean" else 1]

    @cached_property
    def _moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean and spread, each (1, channels, nlat, nlon); in double precision, one channel in memory at a time."""
        mean, spread = np.zeros((2, 1, *self.states.shape[1:]), np.float32)
        for index in range(len(self.channels)):
            values = self.states[:, index].astype(np.float64)
            mean[0, index] = values.mean(0)
            spread[0, index] = values.std(0, ddof=1) if self.members > 1 else 0.0
        return mean, spread

    def clipped(self) -> "tuple[Ensemble, dict[str, int]]":
        """Itself within the physical limits, and how many values of each channel lie at them.

        Those below are raised; those that are exactly there were raised before, for no atmosphere is dry to the bit.
        """
        counts: dict[str, int] = {}
        states = self.states
        for index, channel in enumerate(self.channels):
            limit = LOWER_LIMITS.get(channel.variable)
            if limit is None or not (count := int((self.states[:, index] <= limit).sum())):
                continue
            counts[channel.name] = count
            if (self.states[:, index] < limit).any():
                states = states.copy() if states is self.states else states
                np.maximum(states[:, index], limit, out=states[:, index])
        return (self if states is self.states else replace(self, states=states)), counts
