"""Fields that users expect and the state does not hold: each a function of states, member by member.

``ws10`` and ``ws850`` are wind speeds, ``r850`` relative humidity, ``msl`` mean sea-level pressure. All arrays are
(members, ..., nlat, nlon) in the channels' units.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel, channel
from dacycle.obs.elevation import pressure_ratio
from dacycle.obs.moisture import ZERO_CELSIUS, specific_humidity, vapour_pressure

__all__ = [
    "any_channel",
    "derive",
    "ingredients",
    "mean_sea_level_pressure",
    "relative_humidity",
    "specific_humidity_of",
    "wind_speed",
]

FloatArray = npt.NDArray[np.floating]
States = npt.NDArray[np.float32]

_DERIVED = {
    "ws": ("m s-1", "wind speed", "wind_speed"),
    "r": ("%", "relative humidity", "relative_humidity"),
}


def any_channel(name: str) -> Channel:
    """A channel of the state or a derived one; ValueError for a name that is neither."""
    if name == "msl":
        return Channel(name, name, None, "Pa", name, "mean sea-level pressure", "air_pressure_at_mean_sea_level")
    if name == "ws10":
        return Channel(name, "ws", None, "m s-1", name, "10 metre wind speed", "wind_speed")
    letters = name.rstrip("0123456789")
    if letters not in _DERIVED or letters == name:
        return channel(name)
    level = int(name[len(letters) :])
    units, long_name, standard_name = _DERIVED[letters]
    return Channel(name, letters, level, units, name, f"{long_name} at {level} hPa", standard_name)


def ingredients(name: str) -> tuple[str, ...]:
    """The state's channels that a derived one is made from; ValueError where ``name`` is no derived one."""
    if name == "msl":
        return ("sp", "2t")
    if name == "ws10":
        return ("10u", "10v")
    made = any_channel(name)
    if made.variable not in _DERIVED:
        raise ValueError(f"{name} is no derived field; expected msl, ws10, or ws or r with a level, as ws850, r850")
    return tuple(f"{letter}{made.level_hpa}" for letter in ("uv" if made.variable == "ws" else "qt"))


def derive(
    states: States, channels: Sequence[Channel], names: Sequence[str], orography: FloatArray
) -> tuple[States, tuple[Channel, ...]]:
    """States (members, channels, nlat, nlon) with the derived ``names`` behind them, and all channels.

    ``orography`` (nlat, nlon): m. ValueError where the state lacks what one of them is made from.
    """
    known = [c.name for c in channels]
    parts = [states]
    for name in names:
        first, second = (states[:, known.index(each)] for each in ingredients(name))
        if name == "msl":
            made = mean_sea_level_pressure(first, second, orography)
        elif name.startswith("ws"):
            made = wind_speed(first, second)
        else:
            made = relative_humidity(first, second, float(name[1:]))
        parts.append(np.asarray(made, np.float32)[:, None])
    return (np.concatenate(parts, 1) if names else states), (*channels, *map(any_channel, names))


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


def specific_humidity_of(humidity: FloatArray, temperature: FloatArray, pressure_hpa: float) -> States:
    """kg/kg; the inverse of ``relative_humidity`` (%), which other centres publish in its place."""
    saturated = vapour_pressure(np.asarray(temperature, np.float64) - ZERO_CELSIUS)
    vapour = np.clip(np.asarray(humidity, np.float64), 0.0, None) / 100.0 * saturated
    return specific_humidity(vapour, np.asarray(pressure_hpa * 100.0)).astype(np.float32)


def mean_sea_level_pressure(sp: FloatArray, temperature_2m: FloatArray, orography: FloatArray) -> FloatArray:
    """Pa: surface pressure moved down by ``orography`` (nlat, nlon), m, at the standard lapse rate from 2 m.

    Under high and cold ground this is a convention more than a pressure.
    """
    ratio = pressure_ratio(np.asarray(temperature_2m, np.float64), -np.asarray(orography, np.float64))
    return np.asarray(sp * ratio, dtype=np.float32)
