"""Parts of published cycles as xarray datasets that fit together along time: for export and for the archive."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from dacycle.cycler.products.catalogue import Entry
from dacycle.cycler.products.derived import any_channel
from dacycle.cycler.products.ensemble import Kind
from dacycle.cycler.products.netcdf import EPOCH, HOURS_SINCE, SUFFIXES
from dacycle.cycler.products.provenance import extent, stamp
from dacycle.errors import ProductError

__all__ = ["Region", "join", "piece", "selection"]


REFERENCE = {
    "standard_name": "forecast_reference_time",
    "long_name": "analysis time, or start of the forecast",
    "units": HOURS_SINCE,
    "calendar": "standard",
    "units_metadata": "leap_seconds: utc",
    "coverage_content_type": "coordinate",
}
AT_THE_SURFACE = ("2t", "10u", "10v", "ws10")
"""Channels that netCDF, whose names begin with a letter, may call otherwise than we do."""
REVISION = {"long_name": "revision of the product", "units": "1", "coverage_content_type": "auxiliaryInformation"}


@dataclass(frozen=True)
class Region:
    """Degrees; ``west`` may be greater than ``east``: then it reaches across the zero meridian."""

    south: float = -90.0
    west: float = 0.0
    north: float = 90.0
    east: float = 360.0

    def __post_init__(self) -> None:
        if not -90 <= self.south < self.north <= 90:
            raise ProductError(f"region: expected -90 <= south < north <= 90; got {self.south:g} and {self.north:g}")

    @property
    def whole(self) -> bool:
        """Whether it is the globe."""
        return (self.south, self.north) == (-90, 90) and self.east - self.west >= 360


def selection(
    region: Region, lat: npt.NDArray[np.float64], lon: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of a grid within the region, columns eastward from its western edge."""
    rows = np.flatnonzero((lat >= region.south) & (lat <= region.north))
    if region.east - region.west >= 360:
        columns = np.arange(len(lon))
    else:
        offset = np.mod(lon - region.west, 360.0)
        inside = np.flatnonzero(offset <= np.mod(region.east - region.west, 360.0))
        columns = inside[np.argsort(offset[inside])]
    if not len(rows) or not len(columns):
        raise ProductError(f"no grid point lies in the region {region}")
    return rows, columns


def piece(
    state: Path,
    entry: Entry,
    kinds: Sequence[Kind],
    channels: Sequence[str] | None = None,
    region: Region | None = None,
) -> xr.Dataset:
    """The chosen variables of a cycle, in memory, with its revision and reference time along ``time``.

    ``channels`` None takes all that the product holds. ProductError where it lacks what is asked for.
    """
    path = state / entry.folder / f"{entry.kind}.nc"
    if not path.is_file():
        raise ProductError(f"{path} is not there: only products in netCDF can be exported so; see [products] formats")
    with xr.open_dataset(path, decode_times=False, decode_coords=False, mask_and_scale=False) as file:
        names = _names(file, kinds, channels, path)
        told = {name: _coordinates(file[name]) for name in names}
        beside = dict.fromkeys(each for coordinates in told.values() for each in coordinates)
        rows, columns = selection(region or Region(), file["lat"].values, file["lon"].values)
        chosen = file[[*names, *beside, "crs", "nominal_height"]].isel(lat=rows, lon=columns).load()
        start = float(file["forecast_reference_time" if "forecast_reference_time" in file else "time"].values.flat[0])
    lon = chosen["lon"].values
    if (np.diff(lon) < 0).any():  # across the zero meridian: ascending, hence negative in the west
        chosen["lon"] = ("lon", np.where(lon > lon[-1], lon - 360.0, lon), chosen["lon"].attrs)
    count = chosen.sizes["time"]
    chosen["forecast_reference_time"] = ("time", np.full(count, start), REFERENCE)
    chosen["revision"] = ("time", np.full(count, entry.revision, np.int32), REVISION)
    for name, coordinates in told.items():
        chosen[name].attrs["coordinates"] = " ".join(["forecast_reference_time", "revision", *coordinates])
    for variable in chosen.variables.values():
        variable.encoding = {}
    return chosen


def _coordinates(variable: xr.DataArray) -> list[str]:
    """The auxiliary coordinates that a variable names; those of forecasts are told along time instead."""
    return [name for name in str(variable.attrs.get("coordinates", "")).split() if not name.startswith("forecast_")]


def _names(file: xr.Dataset, kinds: Sequence[Kind], channels: Sequence[str] | None, path: Path) -> list[str]:
    """Variables of the file."""
    suffixes = [SUFFIXES[kind] for kind in kinds]
    if channels is None:
        ends = tuple(SUFFIXES[kind] for kind in ("mean", "spread"))
        chosen = [
            str(name)
            for name, variable in file.data_vars.items()
            if variable.ndim > 2 and any(str(name).endswith(s) if s else not str(name).endswith(ends) for s in suffixes)
        ]
    else:
        chosen = [any_channel(name).netcdf_name + suffix for name in channels for suffix in suffixes]
        if unknown := [name for name in channels if name not in (known := _channels(file))]:
            raise ProductError(f"{path} lacks {' '.join(unknown)}; its channels: {' '.join(known)}")
    if missing := [name for name in chosen if name not in file.data_vars]:
        raise ProductError(f"{path} lacks {' '.join(missing)}")
    if not chosen:
        raise ProductError(f"{path} holds no {' or '.join(kinds)}")
    return chosen


def _channels(file: xr.Dataset) -> dict[str, None]:
    """What the file can be asked for, in its order."""
    called = {any_channel(name).netcdf_name: name for name in AT_THE_SURFACE}
    fields = [str(name) for name, variable in file.data_vars.items() if variable.ndim > 2]
    bare = [name.removesuffix(SUFFIXES["mean"]).removesuffix(SUFFIXES["spread"]) for name in fields]
    return dict.fromkeys(called.get(name, name) for name in bare)


def join(pieces: Sequence[xr.Dataset]) -> xr.Dataset:
    """Along time, with global attributes that say what the whole covers; ProductError where they do not fit."""
    try:
        whole = xr.concat(
            pieces,
            "time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    except ValueError as error:
        raise ProductError(f"the cycles do not fit together (other members or grid?): {error}") from error
    hours = [float(h) for h in whole["time"].values]
    first, last = (_time(pieces[k], k) for k in (0, -1))
    worlds = sorted({str(p.attrs.get("dacycle_world", "")) for p in pieces})
    bundles = sorted({str(p.attrs.get("dacycle_bundle", "")) for p in pieces})
    inputs = [f"{p.attrs.get('dacycle_inputs_sha256', '')}  inputs of {p.attrs.get('id', '')}" for p in pieces]
    step = hours[1] - hours[0] if len(hours) > 1 else 0
    attributes = {
        **pieces[-1].attrs,
        "title": f"Products of dacycle from {first} to {last}",
        "id": f"dacycle-{'-'.join(bundles)}-{first}-{last}".replace(":", ""),
        "time_coverage_start": first,
        "time_coverage_end": last,
        "time_coverage_duration": f"PT{round((hours[-1] - hours[0]) * 3600)}S",
        "time_coverage_resolution": f"PT{round(step * 3600)}S",
        "dacycle_world": ", ".join(worlds),
        "dacycle_bundle": ", ".join(bundles),
        "dacycle_inputs": "\n".join(inputs),
        **extent(whole["lat"].values, whole["lon"].values),
    }
    whole.attrs = attributes
    return whole


def _time(one: xr.Dataset, index: int) -> str:
    return stamp(EPOCH + timedelta(hours=float(one["time"].values[index])))
