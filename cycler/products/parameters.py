"""Channels in the words of GRIB: parameter and level, for writing and for recognising.

WMO manual on codes FM 92, tables 4.2 and 4.5, as ecCodes names them.
"""

from dataclasses import dataclass

from dacycle.channels import Channel, channel
from dacycle.cycler.products.derived import any_channel
from dacycle.errors import ProductError

__all__ = ["GRAVITY", "OROGRAPHY", "Parameter", "channel_of", "parameter"]

GRAVITY = 9.80665  # m s-2, the constant in geopotential height's definition (WMO)
OROGRAPHY = "orography"
"""What readers call the ground of another model, which is no channel."""

_SURFACE = {
    "2t": ("heightAboveGround", 2),
    "10u": ("heightAboveGround", 10),
    "10v": ("heightAboveGround", 10),
    "sp": ("surface", 0),
    "msl": ("meanSea", 0),
}
_SPEED = {"10si": ("heightAboveGround", 10)}
_HEIGHTS = {"gh": 1.0, "z": 1.0 / GRAVITY}


@dataclass(frozen=True)
class Parameter:
    """What a GRIB message says of one channel."""

    short_name: str
    type_of_level: str
    level: int


def parameter(channel: Channel) -> Parameter:
    """How ``channel`` is written; geopotential height in m is ``gh``."""
    if channel.name == "ws10":
        return Parameter("10si", *_SPEED["10si"])
    if channel.level_hpa is None:
        if channel.name not in _SURFACE:
            raise ProductError(
                f"channel {channel.name} has no GRIB parameter; known at the surface: {' '.join(_SURFACE)}"
            )
        return Parameter(channel.name, *_SURFACE[channel.name])
    return Parameter("gh" if channel.variable == "z" else channel.variable, "isobaricInhPa", channel.level_hpa)


def channel_of(short_name: str, type_of_level: str, level: int) -> tuple[Channel, float] | None:
    """The channel that a message holds and the factor to its units, or None for what is none of ours.

    Geopotential (``z``, m2 s-2) is divided by standard gravity.
    """
    if short_name in _SURFACE:
        return (any_channel(short_name), 1.0) if _SURFACE[short_name] == (type_of_level, level) else None
    if short_name in _SPEED:
        return (any_channel("ws10"), 1.0) if _SPEED[short_name] == (type_of_level, level) else None
    if type_of_level != "isobaricInhPa":
        return None
    if short_name in _HEIGHTS:
        return channel(f"z{level}"), _HEIGHTS[short_name]
    return (any_channel(f"{short_name}{level}"), 1.0) if short_name in {"t", "u", "v", "q", "r", "ws"} else None
