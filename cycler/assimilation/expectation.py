"""What the forecast or the climatology says of values before any of them is used, and how its errors go together."""

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.assimilation.calibrated import calibrated
from dacycle.cycler.assimilation.climate import balance_of, climate
from dacycle.cycler.assimilation.fields import lift, observe
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import bilinear
from dacycle.obs.batch import ObservationBatch
from dacycle.obs.neighbours import EARTH_RADIUS_KM, STEP_KM, Expected

__all__ = ["expectation"]

FloatArray = npt.NDArray[np.float64]

REACH_KM = 4000.0


def expectation(bundle: Bundle, batch: ObservationBatch, forecast: npt.NDArray[np.float32] | None) -> Expected:
    """The calibrated mean ``forecast`` (members, channels, h, w), or the climatology, at the values of ``batch``.

    The error covariance is that of the calibrated forecast in the degrees it has, the climate's beyond them; all of
    the climate's without a forecast.
    """
    time = batch.analysis_time
    mean = bundle.climatology.mean(time)
    of = climate(bundle.path)
    covariance, rest = of.covariance, of.rest
    if forecast is not None:
        anomaly = lift(bundle, forecast.mean(0), time) - mean
        x = torch.as_tensor(anomaly / bundle.climatology.std)
        moved = calibrated(bundle, balance_of(bundle), x).numpy() * bundle.climatology.std
        mean = np.asarray(mean + moved, dtype=np.float32)
        covariance = np.concatenate([bundle.anomaly_error, covariance[len(bundle.anomaly_error) :]])
    names = [c.name for c in bundle.channels]
    position = np.array([names.index(name) if name in names else 0 for name in batch.channel.tolist()], np.int64)
    corners, weights = bilinear(bundle.grid, batch.lat, batch.lon)
    std = bundle.climatology.std.reshape(len(names), -1)
    scale = (std[position[:, None], corners] * weights).sum(-1)
    equivalents = observe(bundle, mean[None], batch)[0].astype(np.float64)
    points = bundle.grid.shape[0] * bundle.grid.shape[1]
    return Expected(equivalents, position, scale, _table(covariance, points), rest)


def _table(covariance: npt.NDArray[np.floating], points: int) -> FloatArray:
    """(d, c, c): sum over degrees of (2 l + 1) P_l(cos d) V_l / points, V in scaled coefficients."""
    cosine = np.cos(np.arange(0.0, REACH_KM + STEP_KM, STEP_KM) / EARTH_RADIUS_KM)
    degrees = np.arange(len(covariance))
    legendre = np.polynomial.legendre.legvander(cosine, len(covariance) - 1) * (2 * degrees + 1) / points
    return np.asarray(np.einsum("dl,lce->dce", legendre, covariance))
