"""What every emulator is: a function from a state to a later state."""

from datetime import datetime
from typing import Protocol

import torch

from dacycle.channels import Channel
from dacycle.emulators.grid import Grid

__all__ = ["Emulator", "Persistence"]


class Emulator(Protocol):
    """Steps a batch of global states forward in time."""

    channels: tuple[Channel, ...]
    grid: Grid
    step_hours: int

    def forecast(self, state: torch.Tensor, start: datetime, hours: int) -> torch.Tensor:
        """The states ``hours`` after ``start`` (a multiple of ``step_hours``).

        ``state`` and the result: (members, channels, nlat, nlon), physical units of the channels, float32.
        """
        ...


class Persistence:
    """Tomorrow is like today: the emulator that every other one has to beat."""

    def __init__(self, channels: tuple[Channel, ...], grid: Grid, step_hours: int = 6) -> None:
        self.channels, self.grid, self.step_hours = channels, grid, step_hours

    def forecast(self, state: torch.Tensor, start: datetime, hours: int) -> torch.Tensor:
        """``state`` itself."""
        return state.clone()
