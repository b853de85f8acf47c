"""Humidity: dew point and relative humidity to specific humidity, and back (Bolton 1980, over water)."""

import numpy as np
import numpy.typing as npt

__all__ = ["ZERO_CELSIUS", "dew_point", "specific_humidity", "vapour_pressure"]

FloatArray = npt.NDArray[np.float64]

ZERO_CELSIUS = 273.15  # K
EPSILON = 0.622  # ratio of the gas constants of dry air and vapour


def vapour_pressure(temperature: FloatArray) -> FloatArray:
    """Saturation vapour pressure e = 6.112 exp(17.67 T / (T + 243.5)) hPa, in Pa; ``temperature`` in degC."""
    return np.asarray(611.2 * np.exp(17.67 * temperature / (temperature + 243.5)))


def specific_humidity(vapour: FloatArray, pressure: FloatArray) -> FloatArray:
    """q = 0.622 e / (p - 0.378 e) in kg/kg; both in Pa."""
    return np.asarray(EPSILON * vapour / (pressure - (1 - EPSILON) * vapour))


def dew_point(humidity: FloatArray, pressure: FloatArray) -> FloatArray:
    """Dew point in degC of the specific ``humidity`` (kg/kg, positive) at ``pressure`` (Pa)."""
    vapour = humidity * pressure / (EPSILON + (1 - EPSILON) * humidity)
    ratio = np.log(vapour / 611.2)
    return np.asarray(243.5 * ratio / (17.67 - ratio))
