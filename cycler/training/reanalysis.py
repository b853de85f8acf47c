"""ERA5 as zarr, in the layouts of WeatherBench 2, ARCO-ERA5 and CDS, as a ``Dataset`` on a Gaussian grid.

Needs the optional extra ``zarr``. Times off 00, 06, 12, 18 UTC are left out. Units: geopotential (m2 s-2) becomes
height; precipitation in metres per six hours (``total_precipitation_6hr``) or per hour (ERA5's ``total_precipitation``)
becomes kg m-2 s-1. Orography is the surface geopotential over g.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.training.dataset import FloatArray, Period
from dacycle.cycler.training.equiangular import FromRegular
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.errors import DacycleError, SourceError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Reanalysis", "is_zarr", "open_reanalysis"]

GRAVITY = 9.80665  # m s-2, by which ERA5 divides geopotential
WATER = 1000.0  # kg m-3
BATCH = 32  # frames regridded at once

SURFACE = {
    "2t": ("2m_temperature", "t2m", "2t"),
    "10u": ("10m_u_component_of_wind", "u10", "10u"),
    "10v": ("10m_v_component_of_wind", "v10", "10v"),
    "sp": ("surface_pressure", "sp"),
}
UPPER = {
    "t": ("temperature", "t"),
    "u": ("u_component_of_wind", "u"),
    "v": ("v_component_of_wind", "v"),
    "q": ("specific_humidity", "q"),
    "z": ("geopotential", "z"),
}
RAIN = {"total_precipitation_6hr": 6 * 3600.0, "total_precipitation": 3600.0, "tp": 3600.0}
"""Name -> seconds over which it is accumulated."""
OROGRAPHY = ("geopotential_at_surface", "surface_geopotential", "z_surface")
LAND = ("land_sea_mask", "lsm")
AXES = {
    "time": ("time", "valid_time"),
    "level": ("level", "pressure_level", "isobaricInhPa"),
    "lat": ("latitude", "lat"),
    "lon": ("longitude", "lon"),
}


def is_zarr(location: str) -> bool:
    """Whether a location is an address or a folder that holds a zarr store."""
    marks = (".zgroup", ".zmetadata", "zarr.json")
    return (
        "://" in location or location.rstrip("/").endswith(".zarr") or any((Path(location) / m).exists() for m in marks)
    )


@dataclass(frozen=True)
class Reanalysis:
    """A ``Dataset``: ``frames`` are the positions of ``times`` in the store, ``regrid`` leads to ``grid``."""

    name: str
    store: "xr.Dataset"
    regrid: FromRegular
    grid: Grid
    times: tuple[datetime, ...]
    frames: npt.NDArray[np.int64]
    orography: FloatArray
    land: FloatArray

    def read(self, channel: Channel, frames: slice = slice(None)) -> FloatArray:
        """(frames, nlat, nlon), the channel's units."""
        if channel.level_hpa is None:
            values = self._values(_find(self.store, SURFACE[channel.name], self.name), frames)
        else:
            name = _find(self.store, UPPER[channel.variable], self.name)
            level = _axis(self.store, "level", self.name)
            if channel.level_hpa not in self.store[level].values:
                has = [int(p) for p in self.store[level].values]
                raise SourceError(f"{self.name}: no level {channel.level_hpa} hPa; it has {has}")
            values = self._values(name, frames, {level: channel.level_hpa})
        if channel.variable == "z":
            return np.asarray(values / np.float32(GRAVITY))
        return values.clip(min=0) if channel.variable == "q" else values

    def precipitation(self, frames: slice = slice(None)) -> FloatArray:
        """(frames, nlat, nlon), kg m-2 s-1."""
        name = _find(self.store, tuple(RAIN), self.name)
        return np.asarray(self._values(name, frames).clip(min=0) * np.float32(WATER / RAIN[name]))

    def _values(self, name: str, frames: slice, at: dict[str, int] | None = None) -> FloatArray:
        chosen = self.frames[frames]
        variable = self.store[name] if at is None else self.store[name].sel(at)
        axes = [_axis(self.store, axis, self.name) for axis in ("time", "lat", "lon")]
        parts = [
            self.regrid(_finite(variable.isel({axes[0]: part}).transpose(*axes).values, name, self.name))
            for part in np.array_split(chosen, max(1, -(-len(chosen) // BATCH)))
        ]
        return np.concatenate(parts)


def open_reanalysis(location: str, shape: tuple[int, int], period: Period | None = None) -> Reanalysis:
    """Axes and statics of the store; SourceError says what is missing, DacycleError which extra to install."""
    store = _open(location)
    lat, lon = (store[_axis(store, name, location)].values.astype(np.float64) for name in ("lat", "lon"))
    grid = gaussian_grid(*shape)
    try:
        regrid = FromRegular(lat, lon, grid)
    except ValueError as error:
        raise SourceError(f"{location}: {error}") from None
    stamps = store[_axis(store, "time", location)].values.astype("datetime64[s]").astype(np.int64)
    every = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(s)) for s in stamps]
    kept = [k for k, time in enumerate(every) if time.hour % 6 == 0 and (time.minute, time.second) == (0, 0)]
    if period is not None:
        kept = [k for k in kept if period[0] <= every[k] <= period[1]]
    if not kept:
        raise SourceError(f"{location}: no six-hourly states" + ("" if period is None else " in that period"))

    def static(names: tuple[str, ...]) -> FloatArray:
        name = _find(store, names, location)
        variable = store[name]
        axis = _axis(store, "time", location)
        variable = variable.isel({axis: 0}) if axis in variable.dims else variable
        axes = [_axis(store, axis, location) for axis in ("lat", "lon")]
        return regrid(_finite(variable.transpose(*axes).values, name, location))

    orography = np.asarray(static(OROGRAPHY) / np.float32(GRAVITY))
    land = static(LAND).clip(0, 1)
    times = tuple(every[k] for k in kept)
    name = location.rstrip("/").rsplit("/", 1)[-1]
    return Reanalysis(name, store, regrid, grid, times, np.array(kept), orography, land)


def _open(location: str) -> "xr.Dataset":
    try:
        import xarray as xr
        import zarr  # noqa: F401
    except ImportError as error:
        raise DacycleError(f"{location}: zarr stores need the extra: pip install 'dacycle[zarr]' ({error})") from error
    try:
        store: xr.Dataset = xr.open_zarr(location, chunks=None, consolidated=None)
        return store
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SourceError(f"{location}: expected a zarr store; {' '.join(str(error).split())[:200]}") from error


def _find(store: "xr.Dataset", names: tuple[str, ...], location: str) -> str:
    for name in names:
        if name in store.variables:
            return name
    raise SourceError(
        f"{location}: expected a variable {' or '.join(names)}; the store has {sorted(map(str, store.data_vars))}"
    )


def _axis(store: "xr.Dataset", axis: str, location: str) -> str:
    for name in AXES[axis]:
        if name in store.coords:
            return name
    raise SourceError(
        f"{location}: expected a coordinate {' or '.join(AXES[axis])}; it has {sorted(map(str, store.coords))}"
    )


def _finite(values: npt.NDArray[Any], name: str, location: str) -> npt.NDArray[Any]:
    if not np.isfinite(values).all():
        raise SourceError(f"{location}: {name} has missing or infinite values")
    return values
