"""Forecast-error statistics of a new bundle, from cycling it over a nature run that no training saw."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import lift
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.ingest import gather
from dacycle.cycler.cycle.outliers import reject_outliers
from dacycle.cycler.experiments.twin import FloatArray, cycle
from dacycle.cycler.training.dataset import Dataset
from dacycle.cycler.training.forecast_error import ForecastStatistics, estimate_forecast_error
from dacycle.cycler.training.network import write_network
from dacycle.emulators.registry import load_emulator
from dacycle.obs.batch import ObservationBatch
from dacycle.obs.source import open_source

__all__ = ["Calibration", "calibrate"]

STEPS = 8  # denoiser calls per member while statistics are gathered
SPIN_UP = 4  # cycles left out of them
NETWORK_SEED = 99


@dataclass(frozen=True)
class Calibration:
    """``share``: mean over area and channels of the forecast's error variance over the anomalies' (both normalised)."""

    statistics: ForecastStatistics
    share: float


def calibrate(
    bundle: Bundle,
    nature: Dataset,
    days: float,
    members: int,
    progress: Callable[[str], None],
    sites: int = 500,
) -> Calibration:
    """Cycle 12-hourly over the last ``days`` of ``nature`` with simulated soundings; compare forecasts with truth."""
    since = nature.times[-1] - timedelta(days=days)
    index = {time: k for k, time in enumerate(nature.times) if time >= since and time.hour in (0, 12)}
    with tempfile.TemporaryDirectory() as folder:
        write_network(nature, Path(folder) / "archive", sites, NETWORK_SEED, list(index))
        source = open_source("igra", f"{folder}/archive", Path(folder) / "mirror")
        batches = [gather(source, bundle, time).batch for time in index]

    def check(batch: ObservationBatch, forecast: FloatArray | None) -> ObservationBatch:
        return reject_outliers(bundle, batch, forecast)

    analyst = Analyst(bundle, Settings("sda-jacobian-free", STEPS))
    gaussian = analyst.prior.gaussian
    pairs, shares = [], []
    for number, step in enumerate(cycle(analyst, load_emulator(bundle), batches, members, 0, check=check)):
        progress(f"{step.time:%Y-%m-%dT%H}")
        if step.forecast is None or number < SPIN_UP:
            continue
        k = index[step.time]
        truth = np.stack([nature.read(c, slice(k, k + 1))[0] for c in bundle.channels])
        predicted = lift(bundle, step.forecast.mean(0), step.time)
        f, x = (_normalised(bundle, fields, step.time) for fields in (predicted, truth))
        pairs.append((f, x))
        error, variance = (v.square().mul(gaussian.weights).mean() for v in (f - x, x))
        shares.append(float(error / variance))
    degrees = min(bundle.coarse.shape)
    return Calibration(estimate_forecast_error(gaussian, pairs, degrees), float(np.mean(shares)))


def _normalised(bundle: Bundle, fields: FloatArray, time: datetime) -> Tensor:
    anomaly = fields - bundle.climatology.mean(time)
    return torch.as_tensor(anomaly / bundle.climatology.std)
