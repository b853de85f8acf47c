"""Statistics of a new bundle's errors, from cycling it over a nature run that no training saw.

What the forecasts are wrong by depends on the analyses that they begin with, and these on what the forecasts are
thought to be wrong by. So the statistics follow the cycle, from one analysis to the next. Found from a whole cycle with
other statistics they would belong to that one: damped forecasts ask for little damping, and with little damping the
small scales grow from forecast to analysis.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import lift
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.posterior import gaussian_deviations
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.ingest import gather
from dacycle.cycler.cycle.outliers import reject_outliers
from dacycle.cycler.experiments.twin import FloatArray, Step, cycle
from dacycle.cycler.training.anomalies import Anomalies, as_array
from dacycle.cycler.training.dataset import Dataset, state
from dacycle.cycler.training.forecast_error import ForecastStatistics, Regression
from dacycle.cycler.training.network import write_network
from dacycle.cycler.training.spread import Case, lacking_spread
from dacycle.emulators.registry import load_emulator
from dacycle.obs.batch import ObservationBatch
from dacycle.obs.source import open_source

__all__ = ["Calibration", "calibrate", "observed"]

SPIN_UP = 4  # cycles that say nothing of the spread
WORTH = 4.0  # pairs of forecast and truth that the statistics to begin with are worth
KEEP = 0.97  # what a pair counts one cycle later
NETWORK_SEED = 99
DEVIATIONS = 2  # draws of the Gaussian posterior at each time: of its variance only sums over many coefficients count


@dataclass(frozen=True)
class Calibration:
    """``share``: mean over area and channels of the forecast's error variance over the anomalies' (both normalised).

    ``inflation`` (degrees,): what the analyses' members lack in spread, as in the bundle.
    """

    statistics: ForecastStatistics
    share: float
    inflation: Tensor


def calibrate(
    bundle: Bundle,
    natures: Sequence[Dataset],
    days: float,
    members: int,
    progress: Callable[[str], None],
    sites: int = 500,
) -> Calibration:
    """Cycle 12-hourly over the last ``days`` of every one of ``natures`` with simulated soundings; compare forecasts
    with truth. The more seasons they are of, the better do the statistics hold in another one."""
    analyst = Analyst(bundle, Settings())
    gaussian = analyst.prior.gaussian
    regression = Regression(gaussian, _statistics(bundle), WORTH)
    shares: list[float] = []
    cases: list[Case] = []
    checked: list[ObservationBatch] = []

    def check(batch: ObservationBatch, forecast: FloatArray | None) -> ObservationBatch:
        checked.append(reject_outliers(analyst.bundle, batch, forecast))
        return checked[-1]

    emulator, of_anomalies = load_emulator(bundle), Anomalies(analyst.prior, len(bundle.forecast_error))
    for nature in natures:
        batches = observed(bundle, nature, days, sites)
        for number, step in enumerate(cycle(analyst, emulator, batches, members, 0, check=check)):
            progress(f"{step.time:%Y-%m-%dT%H}")
            if step.forecast is None:
                continue
            truth = state(nature, bundle.channels, nature.times.index(step.time))
            both = np.stack([lift(bundle, step.forecast.mean(0), step.time), truth])
            anomalies = _normalised(bundle, both, step.time)
            f, x = analyst.prior.variables(anomalies, bundle)
            if number >= SPIN_UP:
                parts = anomalies[0] - anomalies[1], anomalies[1]
                error, variance = (part.square().mul(gaussian.weights).mean() for part in parts)
                shares.append(float(error / variance))
                cases.append(_case(analyst, checked[-1], step, x))
            regression.add(f, x, KEEP)
            found = regression.statistics()
            slope, covariance = found.slope.numpy(), found.covariance.numpy()
            analyst.bundle = replace(
                bundle,
                forecast_slope=slope,
                forecast_error=covariance,
                states_error=as_array(of_anomalies(found.covariance)),
            )
    inflation = lacking_spread(gaussian, cases, torch.as_tensor(bundle.analysis_inflation))
    return Calibration(regression.statistics(), float(np.mean(shares)), inflation)


def observed(
    bundle: Bundle, nature: Dataset, days: float, sites: int, seed: int = NETWORK_SEED
) -> list[ObservationBatch]:
    """What a simulated network reports at 00 and 12 UTC of the last days."""
    since = nature.times[-1] - timedelta(days=days)
    times = [time for time in nature.times if time >= since and time.hour in (0, 12)]
    with tempfile.TemporaryDirectory() as folder:
        write_network(nature, Path(folder) / "archive", sites, seed, times)
        source = open_source("igra", f"{folder}/archive", Path(folder) / "mirror")
        return [gather(source, bundle, time).batch for time in times]


def _case(analyst: Analyst, batch: ObservationBatch, step: Step, truth: Tensor) -> Case:
    unadapted = Adaptation.none(tuple(c.name for c in analyst.bundle.channels))
    system = analyst.situation(step.time, batch, step.forecast, unadapted).system
    noises = [MemberNoise(NETWORK_SEED, step.time, each) for each in range(1, 2 * DEVIATIONS, 2)]
    drawn = analyst.prior.variables(_normalised(analyst.bundle, step.states, step.time), analyst.bundle)
    return Case(drawn, truth, gaussian_deviations(system, noises))


def _statistics(bundle: Bundle) -> ForecastStatistics:
    return ForecastStatistics(torch.as_tensor(bundle.forecast_slope), torch.as_tensor(bundle.forecast_error))


def _normalised(bundle: Bundle, fields: FloatArray, time: datetime) -> Tensor:
    """Of states (m, channels, nlat, nlon)."""
    return torch.as_tensor((fields - bundle.climatology.mean(time)) / bundle.climatology.std)
