"""Gridded states read back: our own products, and fields of other centres in GRIB1, GRIB2 or netCDF."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.products.derived import specific_humidity_of
from dacycle.cycler.products.grib_fields import read_grib
from dacycle.cycler.products.layout import Degrees, Found
from dacycle.cycler.products.netcdf_fields import read_netcdf
from dacycle.cycler.products.parameters import OROGRAPHY
from dacycle.errors import ProductError

__all__ = ["FieldSet", "read_fields", "valid_times"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FieldSet:
    """States of one valid time, whatever grid they came on.

    ``values`` (members, channels, nlat, nlon) in the channels' units, float32; ``lat`` (nlat,) degrees from north to
    south; ``lon`` (nlon,) degrees ascending from 0 or the first meridian east of it; ``orography`` (nlat, nlon): the
    ground of the model they are from, m, where the file has it.
    """

    values: FloatArray
    lat: Degrees
    lon: Degrees
    channels: tuple[Channel, ...]
    time: datetime
    orography: FloatArray | None = None


def read_fields(
    path: Path, channels: Sequence[Channel], time: datetime | None = None, complete: bool = True
) -> FieldSet:
    """The channels at a valid time, which may be left out where the file has but one.

    A mean counts as one member; where a file has relative but no specific humidity, this is made from it. Unless
    ``complete``, channels that the file lacks are left out. ProductError says what the file lacks.
    """
    found, lat, lon = _read(path, channels)
    times = _times(path, found, channels)
    if time is None and len(times) > 1:
        raise ProductError(f"{path} holds {len(times)} times, {_list(times)}; say which one")
    chosen = times[0] if time is None else time
    if chosen not in times:
        raise ProductError(f"{path} has no fields valid at {_list([chosen])}; it has {_list(times)}")
    _add_humidity(found, channels)
    if not complete:
        channels = [c for c in channels if any((t, name) == (chosen, c.name) for t, name, _ in found)]
    ground = next((field for (_, name, _), field in found.items() if name == OROGRAPHY), None)
    return FieldSet(_gather(path, found, channels, chosen), lat, lon, tuple(channels), chosen, ground)


def valid_times(path: Path, channels: Sequence[Channel]) -> list[datetime]:
    """When the file's fields of these channels are valid, ascending; ProductError where it has none."""
    return _times(path, _read(path, channels)[0], channels)


def _read(path: Path, channels: Sequence[Channel]) -> tuple[Found, Degrees, Degrees]:
    """All that the channels are, or can be made from."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ProductError(f"cannot read {path}: {error.strerror}") from error
    levels = [channel.level_hpa for channel in channels if channel.variable == "q"]
    wanted = {c.name for c in channels} | {f"{letter}{level}" for level in levels for letter in "rt"} | {OROGRAPHY}
    return (read_netcdf if start.startswith((b"\x89HDF", b"CDF")) else read_grib)(path, wanted)


def _times(path: Path, found: Found, channels: Sequence[Channel]) -> list[datetime]:
    names = {channel.name for channel in channels}
    times = sorted({time for time, name, _ in found if name in names})
    if not times:
        raise ProductError(f"{path} holds none of the channels {' '.join(channel.name for channel in channels)}")
    return times


def _add_humidity(found: Found, channels: Sequence[Channel]) -> None:
    for level in (channel.level_hpa for channel in channels if channel.variable == "q"):
        for time, name, member in list(found):
            slots = [(time, f"{letter}{level}", member) for letter in "qrt"]
            if name == f"r{level}" and slots[0] not in found and slots[2] in found and level is not None:
                found[slots[0]] = specific_humidity_of(found[slots[1]], found[slots[2]], level)


def _gather(path: Path, found: Found, channels: Sequence[Channel], time: datetime) -> FloatArray:
    """(members, channels, nlat, nlon); every channel must have the same members."""
    members = {c.name: sorted(m for t, name, m in found if (t, name) == (time, c.name)) for c in channels}
    if missing := [name for name, numbers in members.items() if not numbers]:
        raise ProductError(f"{path} lacks the channels {' '.join(missing)}")
    numbers = members[channels[0].name]
    if odd := [name for name in members if members[name] != numbers]:
        raise ProductError(f"{path}: {odd[0]} has the members {members[odd[0]]}, {channels[0].name} has {numbers}")
    values = np.stack([np.stack([found[time, c.name, m] for c in channels]) for m in numbers])
    if not np.isfinite(values).all():
        index = int(np.argwhere(~np.isfinite(values).all((2, 3)))[0][1])
        raise ProductError(f"{path}: {channels[index].name} has missing values; a state must be complete")
    return values


def _list(times: Sequence[datetime]) -> str:
    shown = [f"{time:%Y-%m-%dT%HZ}" for time in times[:4]]
    return ", ".join(shown) + (" ..." if len(times) > 4 else "")
