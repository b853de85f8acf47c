"""What members lack in spread, or have too much of, by channel and by what the forecast's spread says of a place.

``spread.py`` measures one share of the Gaussian posterior's variance per degree, for all channels and places. How sure
a network is of itself differs between channels, and between places that are known well and others. So what is added to
members is multiplied by a factor, whose square F has one value for each channel and node of relative spread
(``local_error.py``), such that in every node's places, where errors are as large as usual (``inflation_factor.py``),

    variance of the members without it + F x variance of what is added  =  square error of their mean.

From the same analyses follows how long the errors' tails are (``error_tails.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.analysis import Analyst, Situation
from dacycle.cycler.assimilation.inflation_factor import InflationFactor, Usual, beyond, growth
from dacycle.cycler.assimilation.local_error import node_weights, relative_spread
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.bundle import NODES, Bundle
from dacycle.cycler.experiments.osse_methods import METHODS, Analysis, advance
from dacycle.cycler.products.arrays import read_arrays, write_arrays
from dacycle.cycler.training.dataset import state
from dacycle.cycler.training.error_tails import Sample, error_over_added
from dacycle.cycler.training.unseen_worlds import UnseenWorld
from dacycle.emulators.grid import Grid

__all__ = ["Case", "Recording", "cycled", "inflation"]

FloatArray = npt.NDArray[np.float32]
Sums = npt.NDArray[np.float64]
ROUNDS = 4
SAME_LEVEL = 0.02  # of ln a: levels that differ by less say nothing of how errors follow them
LARGEST = 6.0  # of the factor's square: more would be to trust the network's members for nothing


@dataclass(frozen=True)
class Case:
    """One analysis, of normalised states, summed over places. ``lack`` (channels, nodes): by how much the variance of
    members without anything added falls short of the square error of their mean, weighted by u_n; ``added`` (channels,
    nodes, nodes): the variance of what is added for a factor of one, weighted by u_n u_m; ``sample``: some
    of the places singly."""

    lack: Sums
    added: Sums
    sample: Sample

    @classmethod
    def of(
        cls,
        grid: Grid,
        weights: FloatArray,
        members: FloatArray,
        deviations: FloatArray,
        truth: FloatArray,
        sample: Sample,
    ) -> "Case":
        """``members``, ``deviations`` (N, channels, nlat, nlon) in antithetic pairs, ``truth`` (channels, nlat, nlon),
        in the prior's variables; ``weights`` (nodes, nlat, nlon).

        The mean's own sampling error is allowed for, as in ``spread.lacking_spread``. ValueError below 4 members.
        """
        if len(members) < 4 or len(members) % 2:
            raise ValueError(f"the spread of {len(members)} members cannot be judged; expected pairs, two or more")
        pairs = members.astype(np.float64)
        means, halves = (pairs[0::2] + pairs[1::2]) / 2, (pairs[0::2] - pairs[1::2]) / 2
        between = means.var(0, ddof=1)
        error = np.square(means.mean(0) - truth) - between / len(means)
        lack = error - np.square(halves).mean(0) - between
        added, area = np.square(deviations).mean(0), grid.weights[:, None]
        return cls(
            np.einsum("nij,cij->cn", weights, lack * area),
            np.einsum("nij,mij,cij->cnm", weights, weights, added * area),
            sample,
        )

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        write_arrays(path, lack=self.lack, added=self.added, **vars(self.sample))

    @classmethod
    def load(cls, path: Path) -> "Case":
        """What ``save`` wrote; DacycleError where an earlier version did, which kept less."""
        lack, added, *sample = read_arrays(path, ["lack", "added", *(field.name for field in fields(Sample))])
        return cls(lack, added, Sample(*sample))


def inflation(cases: Sequence[Case], power: float | None = None) -> InflationFactor:
    """The factor, and how it follows the errors' size; with what ``power`` of the level is found where it is not given.
    ValueError without a case.

    How large errors were matters to F, and how large F is to how it follows their size: by turns.
    """
    if not cases:
        raise ValueError("the members' spread cannot be judged without an analysis")
    samples = [case.sample for case in cases]
    shape = cases[0].lack.T.shape
    found = InflationFactor(np.ones(shape, np.float32), np.zeros(shape[1], np.float32), usual(samples, power))
    for _ in range(ROUNDS):
        found = replace(found, square=_square(cases, found))
        found = replace(found, response=error_over_added(samples, found))
    return replace(found, square=_square(cases, found))


def usual(samples: Sequence[Sample], power: float | None = None) -> Usual:
    """The mean level, and with what power the square errors of analyses, in the mean over the channels, follow it, both
    beyond what the season does; with a ``power`` the level alone."""
    levels = np.array([beyond(float(sample.level), sample.season) for sample in samples])
    if power is not None:
        return Usual(float(levels.mean()), power)
    errors = np.log([np.maximum(sample.square_error(), 1e-12) / sample.season for sample in samples]).mean(1)
    departs = levels - levels.mean()
    square = float(np.square(departs).mean())
    power = float(np.clip((departs * errors).mean() / square, 0.0, 1.0)) if square > SAME_LEVEL**2 else 0.0
    return Usual(float(levels.mean()), power)


def _square(cases: Sequence[Case], found: InflationFactor) -> FloatArray:
    """F (nodes, channels), from 0 to LARGEST, if it follows the errors' size as ``found`` says."""
    lack = np.mean([case.lack for case in cases], 0)
    growths = [growth(found.response, case.sample.size(found))[:, None, None] for case in cases]
    added = np.mean([g * case.added for g, case in zip(growths, cases, strict=True)], 0)
    tiny = 1e-9 * np.trace(added, axis1=1, axis2=2)[:, None, None] * np.eye(added.shape[-1])
    square = np.linalg.solve(added + tiny, lack[..., None])[..., 0]
    return np.asarray(square.clip(0.0, LARGEST).T, dtype=np.float32)


class Recording(Analyst):
    """An analyst that keeps what it added last, for a factor of one and with its own (m, channels, nlat, nlon), in the
    prior's variables; and the bundle with the climate that was in force."""

    deviations: Tensor
    factored: Tensor
    world: Bundle

    def added(self, situation: Situation, noises: Sequence[MemberNoise]) -> Tensor:
        """As ``Analyst.added``."""
        unit = replace(situation, world=replace(situation.world, inflation=None))
        self.world, self.deviations = situation.world, super().added(unit, noises)
        self.factored = situation.inflation_factor * self.deviations
        return self.factored


def cycled(unseen: UnseenWorld, analyst: Recording, skip: int) -> Iterator[Case]:
    """Every analysis of the world but the first ``skip``, drawn as the product does by default.

    The first analysis is of soundings alone. What is done stays in the folder and is read again.
    """
    nature, folder, plan = unseen.nature, unseen.folder, METHODS["sda"]
    world, place = unseen.begin(analyst, plan)
    for number in range(len(world.batches)):
        kept = folder / f"case-{number:04d}.npz"
        if number >= place.number:
            place, analysis = advance(world, plan, lambda method: analyst, place)
            if number:
                truth = state(nature, world.bundle.channels, nature.times.index(analysis.time))
                _case(world.bundle, analyst, analysis, truth).save(kept)
            place.save(unseen.place)
        if number >= max(skip, 1):
            yield Case.load(kept)


def _case(bundle: Bundle, analyst: Recording, analysis: Analysis, truth: FloatArray) -> Case:
    world, forecast, prior = analyst.world, analysis.forecast, analyst.prior
    if forecast is None:
        raise ValueError(f"the analysis of {analysis.time} had no forecast whose spread could be looked at")
    mean, std = world.climatology.mean(analysis.time), world.climatology.std
    spread = relative_spread(bundle, std, prior.gaussian, forecast)
    weights = node_weights(spread, NODES).cpu().numpy()
    x, exact = (torch.as_tensor((fields - mean) / std) for fields in (analysis.states, truth[None]))
    given, factored = analyst.deviations.cpu(), analyst.factored.cpu()
    known, known_truth = prior.variables(x, world) - factored, prior.variables(exact, world)[0]
    without = x - prior.anomalies(factored, world)
    level = analysis.prepared.now.level if analysis.prepared is not None else None
    if level is None:
        raise ValueError(f"the analysis of {analysis.time} did not compare its forecast with soundings")
    season, balance = bundle.season(analysis.time), prior.balance_in(world)
    sample = Sample.of_fields(bundle.grid, balance, without, given, weights, exact[0], season, level)
    return Case.of(bundle.grid, weights, known.numpy(), given.numpy(), known_truth.numpy(), sample)
