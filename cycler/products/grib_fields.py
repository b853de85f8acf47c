"""Fields of other centres and our own in GRIB1 and GRIB2, multi-field messages included."""

import sqlite3  # noqa: F401  before ecCodes, whose wheel brings an old SQLite that would take the place of Python's
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import eccodes
import numpy as np
import numpy.typing as npt

from dacycle.cycler.products.layout import Degrees, Found, orientation
from dacycle.cycler.products.parameters import GRAVITY, OROGRAPHY, channel_of
from dacycle.errors import ProductError

__all__ = ["read_grib"]

MULTI_FIELD = threading.Lock()
GRIB_SPREADS = {2, 3, 4}  # code table 4.7: standard deviations and spread
GAP = 1e36  # stands for a missing value while decoding; no channel comes near it
GRIDS = ("regular_ll", "regular_gg")


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


def read_grib(path: Path, wanted: Collection[str]) -> tuple[Found, Degrees, Degrees]:
    """Every field of the ``wanted`` names, and the grid they share; ProductError says what cannot be read."""
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


def _identify(handle: int, wanted: Collection[str], path: Path) -> tuple[str, float, int] | None:
    """Channel name, factor to its units and member of a message; None when it is not wanted."""
    words = [eccodes.codes_get(handle, key) for key in ("shortName", "typeOfLevel", "level")]
    if words[1] == "surface" and words[0] in ("orog", "z"):
        return (OROGRAPHY, 1.0 if words[0] == "orog" else 1.0 / GRAVITY, 0) if OROGRAPHY in wanted else None
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
    rows, columns, lat, lon = orientation(lats[:, 0], lons[0])
    return _Layout(digest, lat, lon, shape, rows, columns)


def _values(handle: int, layout: _Layout) -> npt.NDArray[np.float64]:
    """(nlat, nlon), NaN where the message's bitmap leaves a gap."""
    eccodes.codes_set(handle, "missingValue", GAP)
    values = eccodes.codes_get_values(handle)
    if eccodes.codes_get_long(handle, "numberOfMissing"):
        values = np.where(values == GAP, np.nan, values)
    return np.asarray(values.reshape(layout.shape)[layout.rows][:, layout.columns])
