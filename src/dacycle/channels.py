"""The vocabulary of state variables: one name per channel, the same everywhere.

A channel is a variable at a level: ``2t 10u 10v sp`` at the surface, and a letter plus hectopascals above it
(``t850 u850 v850 q850 z850``). Inside the program, t is in K, u and v in m/s, q in kg/kg, sp in Pa and z is
geopotential *height* in m.
"""

from dataclasses import dataclass

__all__ = ["DEFAULT_CHANNELS", "Channel", "channel"]

_SURFACE = {
    "2t": ("t", "K", "t2m", "2 metre temperature", "air_temperature"),
    "10u": ("u", "m s-1", "u10", "10 metre eastward wind", "eastward_wind"),
    "10v": ("v", "m s-1", "v10", "10 metre northward wind", "northward_wind"),
    "sp": ("sp", "Pa", "sp", "surface pressure", "surface_air_pressure"),
}
_UPPER = {
    "t": ("K", "temperature", "air_temperature"),
    "u": ("m s-1", "eastward wind", "eastward_wind"),
    "v": ("m s-1", "northward wind", "northward_wind"),
    "q": ("kg kg-1", "specific humidity", "specific_humidity"),
    "z": ("m", "geopotential height", "geopotential_height"),
}


@dataclass(frozen=True)
class Channel:
    """One variable at one level.

    ``variable`` is the letter shared by all levels (t, u, v, q, z, sp), ``level_hpa`` is None at the surface,
    ``netcdf_name`` begins with a letter, as CF wants.
    """

    name: str
    variable: str
    level_hpa: int | None
    units: str
    netcdf_name: str
    long_name: str
    standard_name: str


def channel(name: str) -> Channel:
    """The channel of that name; ValueError for a name that is none."""
    if name in _SURFACE:
        variable, units, netcdf_name, long_name, standard_name = _SURFACE[name]
        return Channel(name, variable, None, units, netcdf_name, long_name, standard_name)
    letter, digits = name[:1], name[1:]
    if letter not in _UPPER or not digits.isdigit():
        expected = f"one of {' '.join(_SURFACE)} or a letter of {' '.join(_UPPER)} with hPa, as t850"
        raise ValueError(f"unknown channel {name!r}; expected {expected}")
    units, long_name, standard_name = _UPPER[letter]
    return Channel(name, letter, int(digits), units, name, f"{long_name} at {int(digits)} hPa", standard_name)


DEFAULT_CHANNELS: tuple[Channel, ...] = tuple(
    channel(name) for name in "2t 10u 10v sp t850 u850 v850 q850 z850 t500 u500 v500 z500 t250 u250 v250 z250".split()
)
"""The 17 channels of the default bundle, in their order."""
