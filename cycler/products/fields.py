"""Gridded states read back: our own products, and fields of other centres in GRIB1, GRIB2 or our netCDF."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import eccodes
import netCDF4
import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.products.netcdf import EPOCH, HOURS_SINCE, SUFFIXES
from dacycle.cycler.products.parameters import channel_of
from dacycle.errors import ProductError

__all__ = ["FieldSet", "read_fields"]

FloatArray = npt.NDArray[np.float32]
Degrees = npt.NDArray[np.float64]
Found = dict[tuple[datetime, str, int], FloatArray]

MULTI_FIELD = threading.Lock()
GRIB_SPREADS = {2, 3, 4}  # code table 4.7: standard deviations and spread
GAP = 1e36  # stands for a missing value while decoding; no channel comes near it
GRIDS = ("regular_ll", "regular_gg")


@dataclass(frozen=True)
class FieldSet:
    """States of one valid time, whatever grid they came on.

    ``values`` (members, channels, nlat, nlon) in the channels' units, float32; ``lat`` (nlat,) degrees from north to
    south; ``lon`` (nlon,) degrees ascending from 0 or the first meridian east of it.
    """

    values: FloatArray
    lat: npt.NDArray[np.float64]
    lon: npt.NDArray[np.float64]
    channels: tuple[Channel, ...]
    time: datetime


def read_fields(path: Path, channels: Sequence[Channel], time: datetime | None = None) -> FieldSet:
    """The channels at a valid time, which may be left out where the file has but one.

    A mean counts as one member. ProductError says what the file lacks.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ProductError(f"cannot read {path}: {error.strerror}") from error
    netcdf = start.startswith((b"\x89HDF", b"CDF"))
    found, lat, lon = (_read_netcdf if netcdf else _read_grib)(path, channels)
    times = sorted({key[0] for key in found})
    if not times:
        wanted = " ".join(channel.name for channel in channels)
        raise ProductError(f"{path} holds none of the channels {wanted}")
    if time is None and len(times) > 1:
        raise ProductError(f"{path} holds {len(times)} times, {_list(times)}; say which one")
    chosen = times[0] if time is None else time
    if chosen not in times:
        raise ProductError(f"{path} has no fields valid at {_list([chosen])}; it has {_list(times)}")
    return FieldSet(_gather(path, found, channels, chosen), lat, lon, tuple(channels), chosen)


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


@contextmanager
def _multi_field() -> Iterator[None]:
    """Some centres pack u and v into one message, and without this the second of them vanishes silently.

    The switch is the whole process's, hence the lock.
    """
    with MULTI_FIELD:
        eccodes.codes_grib_multi_support_on()
        try:
            yield
        finally:
            eccodes.codes_grib_multi_support_off()


def _read_grib(path: Path, channels: Sequence[Channel]) -> tuple[Found, Degrees, Degrees]:
    wanted = {channel.name for channel in channels}
    found: Found = {}
    grid: _Layout | None = None
    with _multi_field(), path.open("rb") as file:
        while (handle := _next(file, path)) is not None:
            try:
                if (key := _identify(handle, wanted, path)) is None:
                    continue
                name, factor, member = key
                its_digest = eccodes.codes_get_string(handle, "md5GridSection")
                if grid is None:
                    grid = _layout(handle, its_digest, path)
                elif grid.digest != its_digest:
                    raise ProductError(f"{path}: {name} is on another grid than the fields before it")
                slot = (_valid_time(handle), name, member)
                if slot in found:
                    raise ProductError(f"{path} holds {name} of {slot[0]:%Y-%m-%dT%HZ} twice for member {member}")
                found[slot] = (_values(handle, grid) * factor).astype(np.float32)
            finally:
                eccodes.codes_release(handle)
    return (found, np.empty(0), np.empty(0)) if grid is None else (found, grid.lat, grid.lon)


def _next(file: BinaryIO, path: Path) -> int | None:
    try:
        handle: int | None = eccodes.codes_grib_new_from_file(file)
    except eccodes.CodesInternalError as error:
        raise ProductError(f"{path} is damaged or no GRIB file: {error}") from error
    return handle


def _identify(handle: int, wanted: set[str], path: Path) -> tuple[str, float, int] | None:
    """Channel name, factor to its units and member of a message; None when it is not wanted."""
    words = [eccodes.codes_get(handle, key) for key in ("shortName", "typeOfLevel", "level")]
    meaning = channel_of(*words)
    if meaning is None or meaning[0].name not in wanted:
        return None
    if _optional(handle, "derivedForecast") in GRIB_SPREADS:
        raise ProductError(f"{path} holds an ensemble spread; a state is expected")
    number = _optional(handle, "number")
    return meaning[0].name, meaning[1], 0 if number is None else number


def _optional(handle: int, key: str) -> int | None:
    return int(eccodes.codes_get_long(handle, key)) if eccodes.codes_is_defined(handle, key) else None


def _valid_time(handle: int) -> datetime:
    date, clock = (eccodes.codes_get_long(handle, key) for key in ("validityDate", "validityTime"))
    return datetime.strptime(f"{date:08d}{clock:04d}+0000", "%Y%m%d%H%M%z").astimezone(UTC)


@dataclass(frozen=True)
class _Layout:
    """How the values of a message lie: ``rows`` and ``columns`` bring them to north first and 0 degrees first."""

    digest: str
    lat: Degrees
    lon: Degrees
    shape: tuple[int, int]
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]


def _layout(handle: int, digest: str, path: Path) -> _Layout:
    kind = eccodes.codes_get(handle, "gridType")
    if kind not in GRIDS:
        raise ProductError(f"{path}: expected a grid of type {' or '.join(GRIDS)}; got {kind}")
    shape = (eccodes.codes_get_long(handle, "Nj"), eccodes.codes_get_long(handle, "Ni"))
    lats = eccodes.codes_get_array(handle, "latitudes").reshape(shape)
    lons = eccodes.codes_get_array(handle, "longitudes").reshape(shape)
    if (lats != lats[:, :1]).any() or (lons != lons[:1]).any():
        raise ProductError(f"{path}: expected rows of one latitude, all in one direction")
    rows, columns, lat, lon = _orientation(lats[:, 0], lons[0])
    return _Layout(digest, lat, lon, shape, rows, columns)


def _orientation(lat: Degrees, lon: Degrees) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Degrees, Degrees]:
    """Rows from north to south and columns from 0 eastward, each meridian once, and their coordinates."""
    rows = np.argsort(-lat)
    east, columns = np.unique(np.round(np.mod(lon, 360.0), 9) % 360.0, return_index=True)
    return rows, columns, lat[rows], east


def _values(handle: int, layout: _Layout) -> npt.NDArray[np.float64]:
    """(nlat, nlon), NaN where the message's bitmap leaves a gap."""
    eccodes.codes_set(handle, "missingValue", GAP)
    values = eccodes.codes_get_values(handle)
    if eccodes.codes_get_long(handle, "numberOfMissing"):
        values = np.where(values == GAP, np.nan, values)
    return np.asarray(values.reshape(layout.shape)[layout.rows][:, layout.columns])


def _read_netcdf(path: Path, channels: Sequence[Channel]) -> tuple[Found, Degrees, Degrees]:
    """The members of our netCDF, or its mean where it has no members."""
    found: Found = {}
    try:
        with netCDF4.Dataset(path) as file:
            rows, columns, lat, lon = _orientation(np.asarray(file["lat"][:]), np.asarray(file["lon"][:]))
            clock = file["time"]
            if clock.units != HOURS_SINCE:
                raise ProductError(f"{path}: expected times in {HOURS_SINCE!r}; got {clock.units!r}")
            times = [EPOCH + timedelta(hours=float(hours)) for hours in clock[:]]
            for channel in channels:
                names = [channel.netcdf_name + SUFFIXES[kind] for kind in ("members", "mean")]
                if not (present := [name for name in names if name in file.variables]):
                    continue
                data = np.ma.filled(file[present[0]][:].astype(np.float32), np.nan)
                whole = data if data.ndim == 4 else data[None]
                numbers = file["realization"][:].tolist() if data.ndim == 4 else [0]
                for number, member in zip(numbers, whole, strict=True):
                    for time, field in zip(times, member, strict=True):
                        found[time, channel.name, number] = field[rows][:, columns]
    except (OSError, IndexError, AttributeError) as error:
        raise ProductError(f"{path} is not a field file of dacycle: {error}") from error
    return found, lat, lon
