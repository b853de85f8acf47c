"""Cycling with error statistics of places that follow the cycle, as those of the whole globe do (calibrate.py)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.ageing import YOUNG
from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.assimilation.calibrated import blend
from dacycle.cycler.assimilation.fields import harmonics_on, lift
from dacycle.cycler.assimilation.local_error import local_weights
from dacycle.cycler.bundle import NODES, Bundle
from dacycle.cycler.experiments.osse_methods import METHODS, Analysis, advance
from dacycle.cycler.products.arrays import read_arrays, write_arrays
from dacycle.cycler.training.anomalies import Anomalies, as_array
from dacycle.cycler.training.dataset import Dataset, state
from dacycle.cycler.training.forecast_error import ForecastStatistics
from dacycle.cycler.training.local_spectra import ErrorSpectra, resized
from dacycle.cycler.training.local_statistics import guessed_moments, local_statistics, pair_moments, stacked
from dacycle.cycler.training.unseen_worlds import UnseenWorld

__all__ = ["Pair", "followed", "with_local_statistics"]

WORTH = 4.0  # pairs that the bundle's statistics of the whole globe are worth
KEEP = 0.97  # what a pair counts one cycle later


@dataclass(frozen=True)
class Pair:
    """What forecast and truth say of every node: ``pair_moments``, and ``spectra`` of what the forecast was wrong by;
    and of the whole ``globe``: ``pair_moments`` with a weight of one everywhere."""

    moments: Tensor
    globe: Tensor
    spectra: ErrorSpectra

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(self.moments + other.moments, self.globe + other.globe, self.spectra + other.spectra)

    def __mul__(self, share: float) -> "Pair":
        return Pair(share * self.moments, share * self.globe, self.spectra * share)

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        tensors = {"moments": self.moments, "globe": self.globe, **vars(self.spectra)}
        write_arrays(path, **{name: tensor.numpy() for name, tensor in tensors.items()})

    @classmethod
    def load(cls, path: Path) -> "Pair":
        """What ``save`` wrote; DacycleError where an earlier version did, which kept less."""
        found = read_arrays(path, ("moments", "globe", "error", "overlap"))
        moments, globe, *spectra = (torch.as_tensor(array) for array in found)
        return cls(moments, globe, ErrorSpectra(*spectra))


def with_local_statistics(
    bundle: Bundle, analyst: Analyst, pairs: Pair, anomalies: Anomalies, worth: float = 0.0
) -> Bundle:
    """``bundle`` with what the sum of ``pairs`` says of every node; ``worth``: as many pairs as the sizes that moments
    alone say count for."""
    gaussian = analyst.prior.gaussian
    slope, error = stacked(resized(gaussian, local_statistics(gaussian, pairs.moments), pairs.spectra, worth))
    return replace(
        bundle,
        local_slope=slope.numpy(),
        local_error=error.numpy(),
        states_local_error=as_array(anomalies.of_nodes(error)),
    )


def followed(unseen: UnseenWorld, analyst: Analyst, anomalies: Anomalies, skip: int) -> Iterator[Pair]:
    """Every pair of forecast and truth but those of the first ``skip`` times, drawn by the default method.

    The statistics in force follow from the bundle's own and the pairs until then. What is done stays in the folder.
    """
    bundle, folder, plan = unseen.world.bundle, unseen.folder, METHODS["sda"]
    gaussian = analyst.prior.gaussian
    even = ForecastStatistics(torch.as_tensor(bundle.forecast_slope), torch.as_tensor(bundle.forecast_error))
    guessed = WORTH * guessed_moments(gaussian, even, len(NODES), 1 / len(NODES))
    nothing = torch.zeros_like(guessed[0])  # of the whole globe nothing is asked on the way
    seen = Pair(guessed, nothing, ErrorSpectra.nothing(len(NODES), len(even.slope), gaussian.channels))
    world, place = unseen.begin(analyst, plan)
    for number in range(len(world.batches)):
        kept = folder / f"pair-{number:04d}.npz"
        if number >= place.number:
            analyst.bundle = with_local_statistics(bundle, analyst, seen, anomalies, WORTH)
            place, analysis = advance(replace(world, bundle=analyst.bundle), plan, lambda method: analyst, place)
            if number:
                _pair(analyst, analysis, unseen.nature).save(kept)
            place.save(unseen.place)
        if number:
            pair = Pair.load(kept)
            seen = seen * KEEP + pair
            if number >= skip:
                yield pair


def _pair(analyst: Analyst, analysis: Analysis, nature: Dataset) -> Pair:
    """Of the emulator's mean forecast for an analysis and the truth, both as normalised anomalies; what the statistics
    that the analyst had make of the forecast is what was wrong."""
    bundle, time, forecast, gaussian = analyst.bundle, analysis.time, analysis.forecast, analyst.prior.gaussian
    if forecast is None:
        raise ValueError(f"the analysis of {time} had no forecast to compare with the truth")
    mean, std = bundle.climatology.mean(time), bundle.climatology.std
    weights = local_weights(bundle, std, gaussian, forecast, YOUNG)
    if weights is None or bundle.local_slope is None:
        raise ValueError(f"{len(forecast)} members do not tell where a forecast is wrong; expected four or more")
    truth = state(nature, bundle.channels, nature.times.index(time))
    both = torch.as_tensor((np.stack([lift(bundle, forecast.mean(0), time), truth]) - mean) / std)
    f, x = analyst.prior.variables(both, bundle)
    slopes = torch.as_tensor(bundle.local_slope)
    harmonics = harmonics_on(*bundle.grid.shape, slopes.shape[1])
    resolved = harmonics.synthesise(harmonics.analyse(x))
    error = resolved - blend(harmonics, slopes, weights, f)
    spectra = ErrorSpectra.of(gaussian, slopes.shape[1], error, weights)
    moments = pair_moments(gaussian, slopes.shape[1], f, x, torch.cat([weights, torch.ones_like(weights[:1])]))
    return Pair(moments[:-1], moments[-1], spectra)
