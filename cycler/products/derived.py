"""Fields that users expect and the state does not hold: each a function of states, member by member.

All arrays are (members, ..., nlat, nlon) in the channels' units.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from dacycle.obs.elevation import pressure_ratio
from dacycle.obs.moisture import ZERO_CELSIUS, specific_humidity, vapour_pressure

__all__ = ["Comparison", "mean_sea_level_pressure", "probability", "relative_humidity", "wind_speed"]

FloatArray = npt.NDArray[np.floating]
Comparison = Literal["above", "below"]


def wind_speed(u: FloatArray, v: FloatArray) -> FloatArray:
    """m/s. The mean over members of the speed is not the speed of the mean wind."""
    return np.hypot(u, v)


def relative_humidity(q: FloatArray, temperature: FloatArray, pressure_hpa: float) -> FloatArray:
    """%, over water, at most 100; from specific humidity (kg/kg) and temperature (K) at a pressure level.

    The ratio of vapour pressures, e / e_s, as WMO defines it.
    """
    pressure = np.asarray(pressure_hpa * 100.0)
    saturated = specific_humidity(vapour_pressure(np.asarray(temperature, np.float64) - ZERO_CELSIUS), pressure)
    # e = q p / (eps + (1 - eps) q), hence the ratio of e follows from the ratio of q and of these denominators.
    ratio = q / saturated * (0.622 + 0.378 * saturated) / (0.622 + 0.378 * np.asarray(q, np.float64))
    return np.asarray(np.clip(100.0 * ratio, 0.0, 100.0), dtype=np.float32)


def mean_sea_level_pressure(sp: FloatArray, temperature_2m: FloatArray, orography: FloatArray) -> FloatArray:
    """Pa: surface pressure moved down by ``orography`` (nlat, nlon), m, at the standard lapse rate from 2 m.

    Under high and cold ground this is a convention more than a pressure.
    """
    ratio = pressure_ratio(np.asarray(temperature_2m, np.float64), -np.asarray(orography, np.float64))
    return np.asarray(sp * ratio, dtype=np.float32)


def probability(values: FloatArray, threshold: float, comparison: Comparison) -> FloatArray:
    """Share of the members, 0 to 1, that lie ``above`` or ``below`` the threshold, strictly: (..., nlat, nlon)."""
    chosen = values > threshold if comparison == "above" else values < threshold
    return np.asarray(chosen.mean(0), dtype=np.float32)
