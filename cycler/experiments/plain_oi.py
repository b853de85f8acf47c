"""Plain optimal interpolation, one channel at a time: what a textbook makes of the soundings of one hour.

Background: a Legendre fit of degree 6 in sin(latitude) to the soundings themselves. Covariance: Gaussian in distance,
its variance from the residuals, its length from cross-validation among the stations at hand (Gandin 1963).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dacycle.emulators.grid import EARTH_RADIUS_KM

__all__ = ["ERRORS", "Values", "interpolate", "latitude_climatology", "plausible"]

FloatArray = npt.NDArray[np.float64]

ERRORS = {"z": 10.0, "t": 1.0, "u": 2.0, "v": 2.0}
LENGTHS_KM = (300.0, 500.0, 700.0, 1000.0, 1400.0)
DEGREE = 6
FOLDS = 5
LIMIT = 5.0  # robust standard deviations


@dataclass(frozen=True)
class Values:
    """One channel's values (n,) at points."""

    lat: FloatArray
    lon: FloatArray
    value: FloatArray

    def at(self, rows: npt.NDArray[np.bool_]) -> "Values":
        """Those of ``rows``."""
        return Values(self.lat[rows], self.lon[rows], self.value[rows])


def latitude_climatology(known: Values, asked: Values) -> FloatArray:
    """The fit to ``known`` at the places of ``asked``."""
    fit = np.polynomial.legendre.legfit(np.sin(np.deg2rad(known.lat)), known.value, DEGREE)
    return np.asarray(np.polynomial.legendre.legval(np.sin(np.deg2rad(asked.lat)), fit))


def plausible(values: Values) -> npt.NDArray[np.bool_]:
    """(n,): not further than LIMIT robust standard deviations from the fit to all."""
    residual = values.value - latitude_climatology(values, values)
    away = np.abs(residual - np.median(residual))
    return np.asarray(away <= LIMIT * 1.4826 * np.median(away))


def interpolate(known: Values, asked: Values, error: float) -> FloatArray:
    """The analysis at the places of ``asked``; ``error``: standard deviation of the observations'."""
    fold = np.arange(len(known.value)) % FOLDS
    among = _distance_km(known, known)

    def loss(length: float) -> float:
        total = 0.0
        for k in range(FOLDS):
            here, there = fold != k, fold == k
            found = _analysis(
                known.at(here), known.at(there), among[here][:, here], among[there][:, here], length, error
            )
            total += float(np.square(found - known.value[there]).sum())
        return total

    return _analysis(known, asked, among, _distance_km(asked, known), min(LENGTHS_KM, key=loss), error)


def _analysis(
    known: Values, asked: Values, among: FloatArray, towards: FloatArray, length: float, error: float
) -> FloatArray:
    """``among`` and ``towards``: distances of the known, and of the asked to them."""
    departure = known.value - latitude_climatology(known, known)
    variance = max(float(departure.var()) - error**2, error**2)
    total = variance * np.exp(-0.5 * (among / length) ** 2) + error**2 * np.eye(len(departure))
    weights = np.linalg.solve(total, departure)
    return latitude_climatology(known, asked) + variance * np.exp(-0.5 * (towards / length) ** 2) @ weights


def _distance_km(a: Values, b: Values) -> FloatArray:
    phi, lam = np.deg2rad([a.lat, a.lon])
    phi_b, lam_b = np.deg2rad([b.lat, b.lon])
    cosine = np.sin(phi)[:, None] * np.sin(phi_b) + np.cos(phi)[:, None] * np.cos(phi_b) * np.cos(lam[:, None] - lam_b)
    return np.asarray(EARTH_RADIUS_KM * np.arccos(np.clip(cosine, -1.0, 1.0)))
