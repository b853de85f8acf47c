"""LUCIE (Guan et al., arXiv 2405.16297): a light emulator that steps the standardised state by six hours.

    x(t + 6 h) = x(t) + s_d N(x(t), forcings(t)),    precipitation = the network's last output

N is an SFNO, s_d the standard deviation of six-hourly tendencies. Statistics travel with the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dacycle.channels import Channel
from dacycle.emulators.advection import Advection
from dacycle.emulators.attractor import Attractor, AttractorStatistics
from dacycle.emulators.fluctuations import Fluctuations
from dacycle.emulators.forcing import insolation_by_name
from dacycle.emulators.gradients import Gradients
from dacycle.emulators.grid import Grid
from dacycle.emulators.sfno import Sfno, SfnoShape

__all__ = ["STEP_HOURS", "Lucie", "LucieArguments", "Statistics"]

STEP_HOURS = 6
STEP_SECONDS = STEP_HOURS * 3600.0
INSOLATION_SCALE = 340.0  # W m-2: the global mean, a quarter of the solar constant
PRECIPITATION_SCALE = 1e-2  # m in six hours, as published


@dataclass(frozen=True)
class LucieArguments:
    """What distinguishes one LUCIE from another besides grid and channels; all of it is in the bundle's card."""

    embed: int = 72
    layers: int = 8
    insolation: str = "daily"
    land: bool = True
    advection: bool = True
    """Whether the network is also shown what transport along the wind alone would do (see advection.py)."""
    gradients: bool = False
    """Whether the network is also shown the state's gradients and what they do to the wind (see gradients.py)."""
    slopes: int = 0
    """Of how many fields of its own making every block sees the slopes (see sfno.py)."""
    attractor: bool = False
    """Whether each step is truncated to the resolved degrees and each forecast kept on the attractor (attractor.py)."""
    fluctuations: bool = False
    """Whether it is known what a free run must be given of the small scales (fluctuations.py)."""


@dataclass(frozen=True)
class Statistics:
    """Standardisation and statics. C channels; tensors broadcast against (C, nlat, nlon).

    ``precipitation`` holds mean and standard deviation of log(p / 1e-2 + 1), p in m per six hours; ``insolation`` mean
    and standard deviation in W m-2; ``orography`` is standardised, ``land`` a fraction.
    """

    mean: torch.Tensor
    std: torch.Tensor
    tendency_std: torch.Tensor
    precipitation: torch.Tensor
    insolation: torch.Tensor
    orography: torch.Tensor
    land: torch.Tensor

    @classmethod
    def blank(cls, channels: int, nlat: int, nlon: int) -> "Statistics":
        """Placeholders of the stored shapes, to be filled from a file."""
        one = torch.ones(channels, 1, 1)
        pair, field = torch.tensor([0.0, 1.0]), torch.zeros(nlat, nlon)
        return cls(torch.zeros(channels, nlat, nlon), one, one.clone(), pair, pair.clone(), field, field.clone())


def log_precipitation(rate: torch.Tensor) -> torch.Tensor:
    """log(p / 1e-2 + 1) of a rate in kg m-2 s-1, p being metres of water in six hours."""
    return torch.log1p(rate.clamp(min=0) * (STEP_SECONDS / 1000.0 / PRECIPITATION_SCALE))


def precipitation_rate(logarithm: torch.Tensor) -> torch.Tensor:
    """The inverse of ``log_precipitation``, never negative."""
    return torch.expm1(logarithm).clamp(min=0) * (PRECIPITATION_SCALE * 1000.0 / STEP_SECONDS)


class Lucie(nn.Module):
    """The emulator: an SFNO between standardisations, with its forcings."""

    step_hours = STEP_HOURS

    def __init__(
        self,
        channels: tuple[Channel, ...],
        grid: Grid,
        arguments: LucieArguments,
        statistics: Statistics | None = None,
        attractor: AttractorStatistics | None = None,
    ) -> None:
        """Without ``statistics`` (and ``attractor``, where the arguments ask for it), placeholders to be filled."""
        super().__init__()
        self.channels, self.grid, self.arguments = channels, grid, arguments
        nlat, nlon = grid.shape
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.tendency_std: torch.Tensor
        self.precipitation: torch.Tensor
        self.insolation: torch.Tensor
        self.orography: torch.Tensor
        self.land: torch.Tensor
        for name, value in vars(statistics or Statistics.blank(len(channels), nlat, nlon)).items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        self.transport = Advection(channels, grid, STEP_SECONDS) if arguments.advection else None
        self.gradients = Gradients(channels, grid, STEP_SECONDS) if arguments.gradients else None
        known = attractor or AttractorStatistics.blank(len(channels), nlat, nlon)
        self.attractor = Attractor(grid, known) if arguments.attractor else None
        nothing = Fluctuations.none(len(channels), len(known.vectors))
        self.fluctuations = nothing if arguments.fluctuations else None
        carried = len(self.transport.carried) if self.transport else 0
        inputs = len(channels) + 2 + arguments.land + carried + (self.gradients.outputs if self.gradients else 0)
        shape = SfnoShape(nlat, nlon, inputs, len(channels) + 1, arguments.embed, arguments.layers)
        self.network = Sfno(replace(shape, slopes=arguments.slopes))
        self.insolation_at: Callable[[Grid, datetime], npt.NDArray[np.float32]]
        self.insolation_at = insolation_by_name(arguments.insolation)
        self._humidity = [i for i, c in enumerate(channels) if c.variable == "q"]

    def standardise(self, state: torch.Tensor) -> torch.Tensor:
        """Physical (batch, C, nlat, nlon) -> standardised."""
        return (state - self.mean) / self.std

    def physical(self, z: torch.Tensor) -> torch.Tensor:
        """The inverse of ``standardise``."""
        return z * self.std + self.mean

    def forcings(self, times: list[datetime]) -> torch.Tensor:
        """Standardised insolation (len(times), nlat, nlon)."""
        fields = torch.from_numpy(np.stack([self.insolation_at(self.grid, time) for time in times]))
        return (fields.to(self.mean.device) - self.insolation[0]) / self.insolation[1]

    def step(self, z: torch.Tensor, insolation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of z (batch, C, nlat, nlon), standardised, under insolation (batch, nlat, nlon), standardised.

        Returns the next z and the standardised log precipitation (batch, nlat, nlon).
        """
        statics = [self.orography, self.land] if self.arguments.land else [self.orography]
        extra = [insolation[:, None], *(s.expand(len(z), 1, -1, -1) for s in statics)]
        state = self.physical(z)
        if self.transport is not None:
            moved = self.transport(state) - state[:, self.transport.carried]
            extra.append(moved / self.tendency_std[self.transport.carried])
        if self.gradients is not None:
            extra.append(self.gradients(state) / self.gradients.scales(self.std, self.tendency_std))
        out = self.network(torch.cat([z, *extra], 1))
        change = out[:, :-1] * (self.tendency_std / self.std)
        if self.attractor is not None:
            change = self.attractor.truncate(change)
        following = z + change
        return self._without_negative_humidity(following), out[:, -1]

    def advance(
        self, z: torch.Tensor, times: list[datetime], generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As ``step``, from states at ``times``, one each or one for all; what a forecast does every six hours.

        With a ``generator`` the small scales fluctuate, where it is known how much: for free runs.
        """
        following, water = self.step(z, self.forcings(times).expand(len(z), -1, -1))
        if self.attractor is not None:
            after = [time + timedelta(hours=STEP_HOURS) for time in times]
            following = self.attractor(following, after, z, times)
            if generator is not None and self.fluctuations is not None:
                a = self.fluctuations(self.attractor.anomaly(following, after), generator)
                following = self.attractor.state(a, after)
            following = self._without_negative_humidity(following)
        return following, water

    def forecast(self, state: torch.Tensor, start: datetime, hours: int) -> torch.Tensor:
        """The states ``hours`` after ``start``; see ``Emulator``."""
        return self.forecast_with_precipitation(state, start, hours)[0]

    @torch.no_grad()
    def forecast_with_precipitation(
        self, state: torch.Tensor, start: datetime, hours: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The states and the precipitation (members, nlat, nlon), kg m-2 s-1, of the last step."""
        if hours <= 0 or hours % STEP_HOURS:
            raise ValueError(f"a forecast must be a positive multiple of {STEP_HOURS} h; got {hours}")
        expected = (len(self.channels), *self.grid.shape)
        if state.shape[1:] != expected:
            raise ValueError(f"expected states of shape (members, {expected}); got {tuple(state.shape)}")
        z, water = self.standardise(state), state.new_zeros(len(state), *self.grid.shape)
        for step in range(hours // STEP_HOURS):
            z, water = self.advance(z, [start + step * timedelta(hours=STEP_HOURS)])
        return self.physical(z), precipitation_rate(water * self.precipitation[1] + self.precipitation[0])

    def _without_negative_humidity(self, z: torch.Tensor) -> torch.Tensor:
        if not self._humidity:
            return z
        dry = torch.full_like(self.mean, -torch.inf)
        dry[self._humidity] = (-self.mean / self.std)[self._humidity]
        return torch.maximum(z, dry)
