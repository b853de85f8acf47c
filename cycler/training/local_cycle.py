"""Cycling with error statistics of places that follow the cycle, as those of the whole globe do (calibrate.py)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.ageing import YOUNG
from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.assimilation.fields import lift
from dacycle.cycler.assimilation.local_error import local_weights
from dacycle.cycler.bundle import NODES, Bundle
from dacycle.cycler.experiments.osse_methods import METHODS, Analysis, advance
from dacycle.cycler.products.atomic import write_atomically
from dacycle.cycler.training.anomalies import Anomalies, as_array
from dacycle.cycler.training.dataset import Dataset, state
from dacycle.cycler.training.forecast_error import ForecastStatistics
from dacycle.cycler.training.local_statistics import guessed_moments, local_statistics, pair_moments, stacked
from dacycle.cycler.training.unseen_worlds import UnseenWorld

__all__ = ["followed", "with_local_statistics"]

WORTH = 4.0  # pairs that the bundle's statistics of the whole globe are worth
KEEP = 0.97  # what a pair counts one cycle later


def with_local_statistics(bundle: Bundle, analyst: Analyst, moments: Tensor, anomalies: Anomalies) -> Bundle:
    """``bundle`` with what the sum of ``pair_moments`` says of every node."""
    slope, error = stacked(local_statistics(analyst.prior.gaussian, moments))
    of_nodes = [each for of_node in error if (each := anomalies(of_node)) is not None]
    return replace(
        bundle,
        local_slope=slope.numpy(),
        local_error=error.numpy(),
        states_local_error=as_array(torch.stack(of_nodes) if of_nodes else None),
    )


def followed(unseen: UnseenWorld, analyst: Analyst, anomalies: Anomalies, skip: int) -> Iterator[Tensor]:
    """Moments of every pair of forecast and truth but those of the first ``skip`` times, drawn by the default method.

    The statistics in force follow from the bundle's own and the pairs until then. What is done stays in the folder.
    """
    bundle, folder, plan = unseen.world.bundle, unseen.folder, METHODS["sda"]
    gaussian = analyst.prior.gaussian
    even = ForecastStatistics(torch.as_tensor(bundle.forecast_slope), torch.as_tensor(bundle.forecast_error))
    moments = WORTH * guessed_moments(gaussian, even, len(NODES), 1 / len(NODES))
    world, place = unseen.begin(analyst, plan)
    for number in range(len(world.batches)):
        kept = folder / f"pair-{number:04d}.npy"
        if number >= place.number:
            analyst.bundle = with_local_statistics(bundle, analyst, moments, anomalies)
            place, analysis = advance(replace(world, bundle=analyst.bundle), plan, lambda method: analyst, place)
            if number:
                _write(kept, _pair(analyst, analysis, unseen.nature, len(even.slope)))
            place.save(unseen.place)
        if number:
            pair = torch.as_tensor(np.fromfile(kept, np.float32)).view(moments.shape)
            moments = KEEP * moments + pair
            if number >= skip:
                yield pair


def _pair(analyst: Analyst, analysis: Analysis, nature: Dataset, degrees: int) -> Tensor:
    """Of the emulator's mean forecast for an analysis and the truth, both as normalised anomalies."""
    bundle, time, forecast = analyst.bundle, analysis.time, analysis.forecast
    if forecast is None:
        raise ValueError(f"the analysis of {time} had no forecast to compare with the truth")
    mean, std = bundle.climatology.mean(time), bundle.climatology.std
    weights = local_weights(bundle, std, analyst.prior.gaussian, forecast, YOUNG)
    if weights is None:
        raise ValueError(f"{len(forecast)} members do not tell where a forecast is wrong; expected four or more")
    truth = state(nature, bundle.channels, nature.times.index(time))
    both = torch.as_tensor((np.stack([lift(bundle, forecast.mean(0), time), truth]) - mean) / std)
    f, x = analyst.prior.variables(both, bundle)
    return pair_moments(analyst.prior.gaussian, degrees, f, x, weights)


def _write(path: Path, moments: Tensor) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(moments.numpy().tobytes())

    write_atomically(path, write)
