"""What members lack in spread, or have too much of, by channel, latitude and season, in the cycle as it runs.

``spread.py`` measures one share of the Gaussian posterior's variance per degree, for all channels and places. Errors
are not that even: what is added to the members goes with how unevenly things are known (``uneven.py``), and is
multiplied by a factor. Its square f, smooth in latitude and with an annual cycle, is such that

    variance of the members without it + f x variance of what is added  =  square error of their mean

by zonal means. Errors have longer tails than members have, so that where this holds the truth still lies in the middle
of the members too often (docs/methods.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adaptation import zonal_basis
from dacycle.cycler.assimilation.analysis import Analyst, Situation
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.experiments.osse_methods import METHODS, Analysis, Place, World, advance, first_analysis
from dacycle.cycler.products.atomic import write_atomically
from dacycle.cycler.training.dataset import Dataset, state
from dacycle.emulators.grid import Grid
from dacycle.emulators.season import season_basis

__all__ = ["Case", "Recording", "cycled", "inflation_square"]

FloatArray = npt.NDArray[np.float32]
Zonal = npt.NDArray[np.float64]
ZONAL_DEGREES = 5
SEASONAL = 0.3  # the weight of an annual cycle: cases of one season say little of the others


@dataclass(frozen=True)
class Case:
    """Zonal means (channels, nlat) of one analysis, of normalised states: ``lack``, by how much the variance of members
    without anything added falls short of the square error of their mean, and ``added``, the variance of what is added
    for a factor of one."""

    time: datetime
    lack: Zonal
    added: Zonal

    @classmethod
    def of(cls, time: datetime, members: FloatArray, deviations: FloatArray, truth: FloatArray) -> "Case":
        """``members``, ``deviations`` (N, channels, nlat, nlon) in antithetic pairs, ``truth`` (channels, nlat, nlon).

        The mean's own sampling error is allowed for, as in ``spread.lacking_spread``. ValueError below 4 members.
        """
        if len(members) < 4 or len(members) % 2:
            raise ValueError(f"the spread of {len(members)} members cannot be judged; expected pairs, two or more")
        pairs = members.astype(np.float64)
        means, halves = (pairs[0::2] + pairs[1::2]) / 2, (pairs[0::2] - pairs[1::2]) / 2
        between = means.var(0, ddof=1)
        error = np.square(means.mean(0) - truth) - between / len(means)
        lack = error - np.square(halves).mean(0) - between
        return cls(time, np.asarray(lack.mean(-1)), np.asarray(np.square(deviations).mean((0, -1))))

    def save(self, path: Path) -> None:
        """Whole or not at all."""

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, time=self.time.isoformat(), lack=self.lack, added=self.added)

        write_atomically(path, write)

    @classmethod
    def load(cls, path: Path) -> "Case":
        """What ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(datetime.fromisoformat(str(file["time"])), file["lack"], file["added"])


def inflation_square(grid: Grid, cases: Sequence[Case]) -> FloatArray:
    """(3, channels, nlat): mean, cosine and sine of the year of the factor's square f, as in the bundle.

    Legendre polynomials of the sine of latitude times those three; least squares with the area as the weight, of the
    smallest coefficients, seasonal ones over SEASONAL, where the cases are of few times of the year. ValueError without
    a case.
    """
    if not cases:
        raise ValueError("the members' spread cannot be judged without an analysis")
    usual = np.maximum(np.mean([case.added for case in cases], 0), 1e-12)  # (channels, nlat)
    prefer = np.array([1.0, SEASONAL, SEASONAL])
    seasons = np.array([season_basis(case.time)[:3] for case in cases]) * prefer
    basis, root = zonal_basis(grid.lat)[:ZONAL_DEGREES], np.sqrt(grid.weights)
    square = np.zeros((3, *usual.shape))
    for c in range(len(usual)):
        weight = np.array([case.added[c] / usual[c] for case in cases]) * root  # (cases, nlat)
        known = np.einsum("ts,lj,tj->tjsl", seasons, basis, weight).reshape(weight.size, -1)
        wanted = np.array([case.lack[c] / usual[c] for case in cases]) * root
        found, *_ = np.linalg.lstsq(known, wanted.ravel(), rcond=1e-3)
        square[:, c] = prefer[:, None] * found.reshape(3, -1) @ basis
    return np.asarray(square, dtype=np.float32)


class Recording(Analyst):
    """An analyst that keeps what it added last, for a factor of one (m, channels, nlat, nlon), and the factor."""

    deviations: Tensor
    factor: FloatArray

    def added(self, situation: Situation, noises: Sequence[MemberNoise]) -> Tensor:
        """As ``Analyst.added``; a bundle without a factor has one of one."""
        bundle = self.bundle
        one = np.zeros((3, len(bundle.channels), bundle.grid.shape[0]), np.float32)
        one[0] = 1.0
        unit = replace(situation, world=replace(situation.world, inflation_square=one))
        factor = situation.world.inflation_factor(situation.time)
        self.factor = np.ones_like(one[0]) if factor is None else factor
        drawn = super().added(unit, noises)
        self.deviations = drawn * _single(situation.world.climatology.std / bundle.climatology.std)
        return drawn * _single(self.factor[:, :, None])


def _single(values: npt.NDArray[np.floating]) -> Tensor:
    return torch.as_tensor(np.asarray(values, np.float32))


def cycled(world: World, nature: Dataset, analyst: Recording, skip: int, folder: Path) -> Iterator[Case]:
    """Every analysis of ``world`` but the first ``skip``, drawn as the product does by default.

    ``nature``: the truth; the first analysis is of soundings alone. What is done stays in ``folder`` and is read again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan, path = METHODS["sda"], folder / "place.npz"
    if path.is_file():
        place = Place.load(path)
    else:
        world = replace(world, first=first_analysis(world, analyst))
        place = Place.start(world, plan)
    for number in range(len(world.batches)):
        kept = folder / f"case-{number:04d}.npz"
        if number >= place.number:
            place, analysis = advance(world, plan, lambda method: analyst, place)
            if number:
                truth = state(nature, world.bundle.channels, nature.times.index(analysis.time))
                _case(world.bundle, analyst, analysis, truth).save(kept)
            place.save(path)
        if number >= max(skip, 1):
            yield Case.load(kept)


def _case(bundle: Bundle, analyst: Recording, analysis: Analysis, truth: FloatArray) -> Case:
    mean, std = bundle.climatology.mean(analysis.time), bundle.climatology.std
    deviations = analyst.deviations.cpu().numpy()
    members = (analysis.states - mean) / std - analyst.factor[:, :, None] * deviations
    return Case.of(analysis.time, members, deviations, (truth - mean) / std)
