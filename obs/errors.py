"""Standard deviation of the error of each observed value, by variable and level.

Errors of measurement and of representativeness together: what separates a balloon's value from the mean over a grid
box of some 150 km. The figures lie in the ranges of the level-dependent tables of operational centres (temperature
0.8 to 1.5 K, wind 1.5 to 3 m/s growing to the jet level, humidity 10 to 15 %), above the 1 K and 1 m/s of published
idealised studies; height errors grow upward because they integrate those of temperature. They are where innovation
statistics start from, not where they end.
"""

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel

__all__ = ["HUMIDITY_FLOOR", "HUMIDITY_FRACTION", "observation_error"]

FloatArray = npt.NDArray[np.float64]

_LEVELS_HPA = (1000.0, 850.0, 500.0, 250.0, 100.0, 10.0)
_UPPER = {
    "t": (1.2, 1.0, 0.9, 1.1, 1.3, 2.0),  # K
    "u": (2.0, 2.0, 2.2, 2.5, 2.5, 3.0),  # m s-1
    "v": (2.0, 2.0, 2.2, 2.5, 2.5, 3.0),  # m s-1
    "z": (6.0, 8.0, 10.0, 15.0, 20.0, 40.0),  # m
}
_SURFACE = {"2t": 1.5, "10u": 2.0, "10v": 2.0, "sp": 100.0}  # K, m s-1, m s-1, Pa

HUMIDITY_FRACTION = 0.15
HUMIDITY_FLOOR = 2e-4
"""kg/kg: in dry air a fraction of the value alone would trust the sensor more than it deserves."""


def observation_error(channel: Channel, value: FloatArray) -> FloatArray:
    """(n,) standard deviations for the values (n,) of one channel, in its units; interpolated in ln p between levels.

    Only humidity looks at the values; where they are NaN it gives its floor.
    """
    if channel.variable == "q":
        return np.fmax(HUMIDITY_FRACTION * np.nan_to_num(value), HUMIDITY_FLOOR)
    if channel.level_hpa is None:
        return np.full(len(value), _SURFACE[channel.name])
    # np.interp wants ascending abscissae.
    sigma = np.interp(np.log(channel.level_hpa), np.log(_LEVELS_HPA[::-1]), _UPPER[channel.variable][::-1])
    return np.full(len(value), sigma)
