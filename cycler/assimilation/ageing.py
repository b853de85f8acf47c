"""What is known of a forecast that ran on without soundings for longer than those its statistics were estimated from.

In the basis where the climatological covariance C is the identity and the error covariance P of a forecast over
STATISTICS_HOURS diagonal, that forecast knows the share 1 - p of the climate's variance. Each further such period keeps
that share of what was known, so 1 - (1 - p)^k is unknown after k of them: k times as much while it is small, all that
the climate varies in the end. For a linear world that forgets at a constant rate, forecast from the truth, it is exact.

A calibrated forecast varies by what is known, C - P. An emulator's free forecast does not damp itself, so a mean that
was not calibrated on its way is damped by (1 - p)^((k - 1) / 2) besides the slope.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.climate import climate
from dacycle.cycler.bundle import STATISTICS_HOURS, Bundle

__all__ = ["YOUNG", "Age", "aged", "left", "unknown"]

FloatArray = npt.NDArray[np.float64]
SMALLEST_VARIANCE = 1e-6  # of the climate, in scaled coefficients


@dataclass(frozen=True)
class Age:
    """Of a forecast, in hours. ``known``: since soundings last had a say; ``free``: since its mean was calibrated."""

    known: float
    free: float


YOUNG = Age(STATISTICS_HOURS, STATISTICS_HOURS)


def aged(bundle: Bundle, age: Age) -> Bundle:
    """The bundle with the slope and the error covariance of forecasts of that age."""
    known, free = (max(hours / STATISTICS_HOURS, 1.0) for hours in (age.known, age.free))
    if known == free == 1.0:
        return bundle
    of, degrees = climate(bundle.path), len(bundle.forecast_error)
    covariance, error = of.of_variables[:degrees], bundle.forecast_error.astype(np.float64)
    damping, anomalies = left(covariance, error, (free - 1) / 2), bundle.states_error
    if anomalies is not None:
        anomalies = unknown(of.covariance[:degrees], anomalies.astype(np.float64), known).astype(np.float32)
    return replace(
        bundle,
        forecast_error=unknown(covariance, error, known).astype(np.float32),
        forecast_slope=(damping @ bundle.forecast_slope).astype(np.float32),
        states_error=anomalies,
    )


def unknown(covariance: FloatArray, error: FloatArray, periods: float) -> FloatArray:
    """The error covariance after ``periods``, where ``error`` is that after one and ``covariance`` the climate's.

    All (degrees, channels, channels), symmetric.
    """
    basis, share = _shares(covariance, error)
    return np.asarray((basis * (1 - (1 - share) ** periods)[:, None, :]) @ basis.swapaxes(-1, -2))


def left(covariance: FloatArray, error: FloatArray, power: float) -> FloatArray:
    """(degrees, channels, channels): multiplies a field's coefficients by (1 - p)^``power`` in the common basis."""
    basis, share = _shares(covariance, error)
    return np.asarray((basis * ((1 - share) ** power)[:, None, :]) @ np.linalg.inv(basis))


def _shares(covariance: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """B and p with B B' = C and B diag(p) B' = P."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, SMALLEST_VARIANCE))[:, None, :]
    whiten = np.linalg.inv(root)
    share, rotation = np.linalg.eigh(whiten @ error @ whiten.swapaxes(-1, -2))
    return root @ rotation, share.clip(0.0, 1.0)
