"""netCDF files of an ensemble: members, mean and spread of every channel, CF 1.11 and ACDD 1.3.

Dimensions (realization, time, lat, lon). Channel ``t850`` is in the variables ``t850`` (members), ``t850_mean`` and
``t850_spread``; names that would begin with a digit are spelt ``t2m``, ``u10``, ``v10``. CF wants the members
left of the time; CDO, which wants the time first, reads mean and spread here, and members from GRIB2.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.products.atomic import Artefact, write_atomically
from dacycle.cycler.products.ensemble import Ensemble, Kind
from dacycle.cycler.products.provenance import Provenance, extent, global_attributes, vertical_extent
from dacycle.errors import ProductError

__all__ = ["EPOCH", "HOURS_SINCE", "STEPS", "SUFFIXES", "write_netcdf"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOURS_SINCE = f"hours since {EPOCH:%Y-%m-%d %H:%M:%S}"
SUFFIXES: dict[Kind, str] = {"members": "", "mean": "_mean", "spread": "_spread"}
PROBABILITY = "probability"
METHODS: dict[Kind, str] = {
    "members": "time: point",
    "mean": "time: point realization: mean",
    "spread": "time: point realization: standard_deviation",
}

STEPS: dict[str, float] = {
    **dict.fromkeys("tuv", 2.0**-7),
    **{"ws": 2.0**-7, "q": 2.0**-22, "sp": 1.0, "msl": 1.0, "z": 2.0**-4, "r": 2.0**-4},
}
"""Variable -> values are rounded to multiples of this, in the channel's units: a tenth of any observation error or
less, and a power of two, so that the rounded float ends in zeros that compress."""

SURFACE_HEIGHTS = {"2t": 2, "10u": 10, "10v": 10, "ws10": 10, "sp": 0}  # m

CHUNK_ROWS, CHUNK_COLUMNS, CHUNK_VALUES = 32, 64, 2**16
SPHERE_M = 6371229.0


def write_netcdf(path: Path, ensembles: Sequence[Ensemble], kinds: Sequence[Kind], provenance: Provenance) -> Artefact:
    """One file for all valid times (ascending), which share channels, grid, members and reference time.

    ProductError when they do not, or when the library cannot write.
    """
    first = ensembles[0]
    for other in ensembles[1:]:
        if (other.channels, other.states.shape, other.reference) != (
            first.channels,
            first.states.shape,
            first.reference,
        ):
            raise ProductError(f"cannot write {path}: {other} has other channels, members or reference than {first}")
    if any(a.time >= b.time for a, b in pairwise(ensembles)):
        raise ProductError(f"cannot write {path}: the valid times are not ascending")

    def write(temporary: Path) -> None:
        try:
            with netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
                _fill(file, ensembles, kinds, provenance)
        except RuntimeError as error:  # what the HDF5 layer makes of a full disk
            raise ProductError(f"cannot write {path}: {error}") from error

    return write_atomically(path, write)


def _fill(file: netCDF4.Dataset, ensembles: Sequence[Ensemble], kinds: Sequence[Kind], provenance: Provenance) -> None:
    first = ensembles[0]
    file.setncatts(_attributes(ensembles, provenance))
    nlat, nlon = first.grid.shape
    if "members" in kinds:
        file.createDimension("realization", first.members)
        numbers = {"standard_name": "realization", "long_name": "ensemble member", "units": "1"}
        _coordinate(file, "realization", ("realization",), np.arange(1, first.members + 1, dtype="i4"), numbers)
    file.createDimension("time", len(ensembles))
    file.createDimension("lat", nlat)
    file.createDimension("lon", nlon)
    _horizontal(file, first)
    auxiliary = _times(file, ensembles)
    _levels(file, first.channels)
    if any(kind != "members" for kind in kinds):
        _size(file, first.members)
    if PROBABILITY in kinds:
        _probabilities(file.createGroup(PROBABILITY), ensembles)
    for kind in kinds:
        if kind == PROBABILITY:
            continue
        fields = np.stack([ensemble.fields(kind) for ensemble in ensembles], 2)
        for channel, values in zip(first.channels, fields.swapaxes(0, 1), strict=True):
            _variable(
                file,
                channel,
                kind,
                values,
                [*auxiliary, *(["number_of_realizations"] * (kind != "members")), *level_name(channel)],
            )


def _attributes(ensembles: Sequence[Ensemble], provenance: Provenance) -> dict[str, Any]:
    first, last = ensembles[0], ensembles[-1]
    what = "Ensemble analysis" if first.hours is None else "Ensemble forecast"
    summary = (
        f"{what} of the global atmosphere, {first.members} members on a {first.grid.shape[0]} x {first.grid.shape[1]} "
        f"Gaussian grid: samples of a diffusion prior conditioned on soundings and on an emulator's forecast. "
        "Members, ensemble mean and standard deviation (unbiased)."
    )
    lat, lon = first.grid.lat, first.grid.lon
    attributes = global_attributes(
        provenance, f"{what} of {first.reference:%Y-%m-%d %H} UTC", summary, first.reference, first.time, last.time
    )
    spacing = ensembles[1].time - first.time if len(ensembles) > 1 else timedelta(0)
    vertical = vertical_extent(nominal_heights(first.channels), "m", "up", "height above the ground")
    resolution = {"time_coverage_resolution": f"PT{int(spacing.total_seconds())}S", "cdm_data_type": "Grid"}
    return attributes | extent(lat, lon) | vertical | resolution


def _coordinate(
    file: netCDF4.Dataset, name: str, dimensions: tuple[str, ...], values: npt.ArrayLike, attributes: dict[str, str]
) -> None:
    data = np.asarray(values)
    variable = file.createVariable(name, data.dtype, dimensions)
    variable.setncatts({"coverage_content_type": "coordinate", **attributes})
    variable[:] = data


def _horizontal(file: netCDF4.Dataset, ensemble: Ensemble) -> None:
    lat = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"}
    lon = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"}
    _coordinate(file, "lat", ("lat",), ensemble.grid.lat, lat)
    _coordinate(file, "lon", ("lon",), ensemble.grid.lon, lon)
    crs = file.createVariable("crs", "i4", ())
    crs.setncatts({"grid_mapping_name": "latitude_longitude", "earth_radius": SPHERE_M, "long_name": "sphere"})


def _times(file: netCDF4.Dataset, ensembles: Sequence[Ensemble]) -> list[str]:
    """Valid times; for forecasts also the reference time and the periods, whose names are returned."""
    clock = {"units": HOURS_SINCE, "calendar": "standard", "units_metadata": "leap_seconds: utc"}
    valid = [(ensemble.time - EPOCH).total_seconds() / 3600 for ensemble in ensembles]
    _coordinate(
        file, "time", ("time",), valid, {"standard_name": "time", "long_name": "valid time", "axis": "T", **clock}
    )
    first = ensembles[0]
    if first.hours is None:
        return []
    reference = {"standard_name": "forecast_reference_time", "long_name": "start of the forecast", **clock}
    started = (first.reference - EPOCH).total_seconds() / 3600
    _coordinate(file, "forecast_reference_time", (), started, reference)
    period = {"standard_name": "forecast_period", "long_name": "time since the start of the forecast", "units": "hours"}
    hours = [float(ensemble.hours or 0) for ensemble in ensembles]
    _coordinate(file, "forecast_period", ("time",), hours, period)
    return ["forecast_reference_time", "forecast_period"]


def _size(file: netCDF4.Dataset, members: int) -> None:
    """How many members a mean or a spread is taken over; the cell_methods name these by their standard name."""
    described = {"long_name": "number of members in mean and spread", "units": "1"}
    _coordinate(file, "number_of_realizations", (), np.int32(members), described)


def level_name(channel: Channel) -> list[str]:
    """The scalar coordinate that says where the channel lies; none for mean sea level, which its name says."""
    if channel.level_hpa is not None:
        return [f"pressure_{channel.level_hpa}"]
    return [f"height_{SURFACE_HEIGHTS[channel.name]}m"] if channel.name in SURFACE_HEIGHTS else []


def nominal_heights(channels: Sequence[Channel]) -> npt.NDArray[np.float64]:
    """Heights of the levels, m, ascending: above the ground, or in the ICAO standard atmosphere (to 20 km)."""
    heights = set()
    for channel in channels:
        if channel.level_hpa is None:
            heights.add(float(SURFACE_HEIGHTS.get(channel.name, 0)))
            continue
        ratio = channel.level_hpa / 1013.25
        troposphere = 44330.77 * (1 - ratio**0.190263)
        heights.add(round(troposphere if troposphere <= 11000 else 11000 + 6341.62 * np.log(0.223361 / ratio), 1))
    return np.array(sorted(heights))


def _levels(file: netCDF4.Dataset, channels: Sequence[Channel]) -> None:
    """A scalar coordinate for every level in use, and one list of them all, by which catalogues tell the extent."""
    height = {"standard_name": "height", "long_name": "height above the ground", "units": "m", "positive": "up"}
    pressure = {"standard_name": "air_pressure", "long_name": "pressure", "units": "hPa", "positive": "down"}
    heights = nominal_heights(channels)
    file.createDimension("nominal_height", len(heights))
    words = {"long_name": "height above the ground of all levels, of pressure levels in the standard atmosphere"}
    _coordinate(file, "nominal_height", ("nominal_height",), heights, height | words)
    for channel, name in ((c, name) for c in channels for name in level_name(c)):
        if name in file.variables:
            continue
        if channel.level_hpa is not None:
            _coordinate(file, name, (), float(channel.level_hpa), pressure)
        else:
            _coordinate(file, name, (), float(SURFACE_HEIGHTS.get(channel.name, 0)), height)


def _variable(
    file: netCDF4.Dataset, channel: Channel, kind: Kind, values: npt.NDArray[np.float32], auxiliary: list[str]
) -> None:
    """``values``: (members or 1, times, nlat, nlon)."""
    step = STEPS[channel.variable]
    dimensions = ("realization", "time", "lat", "lon") if kind == "members" else ("time", "lat", "lon")
    data = values if kind == "members" else values[0]
    variable = file.createVariable(
        channel.netcdf_name + SUFFIXES[kind],
        "f4",
        dimensions,
        compression="zlib",
        complevel=1,
        shuffle=True,
        chunksizes=_chunks(data.shape),
    )
    variable.setncatts(_description(channel, kind, step) | {"coordinates": " ".join(auxiliary)})
    variable[:] = np.rint(data / np.float32(step)) * np.float32(step)


def _probabilities(group: netCDF4.Dataset, ensembles: Sequence[Ensemble]) -> None:
    """A group of its own: no standard name exists for them, and the root keeps to what every reader knows."""
    first = ensembles[0]
    _horizontal(group, first)
    clock = {"standard_name": "time", "long_name": "valid time", "axis": "T", "units": HOURS_SINCE}
    valid = [(ensemble.time - EPOCH).total_seconds() / 3600 for ensemble in ensembles]
    _coordinate(group, "time", ("time",), valid, {**clock, "calendar": "standard"})
    fields = np.concatenate([ensemble.fields("probability") for ensemble in ensembles])
    by_name = {channel.name: channel for channel in first.channels}
    for threshold, values in zip(first.thresholds, fields.swapaxes(0, 1), strict=True):
        channel = by_name[threshold.channel]
        words = f"probability of {channel.long_name} {threshold.comparison} {threshold.value:.10g} {channel.units}"
        chunks = _chunks(values.shape)
        variable = group.createVariable(
            threshold.netcdf_name, "f4", ("time", "lat", "lon"), zlib=True, complevel=1, chunksizes=chunks
        )
        variable.setncatts(
            {
                "long_name": words,
                "units": "%",
                "comment": f"share of the {first.members} members",
                "grid_mapping": "crs",
                "coverage_content_type": "modelResult",
            }
        )
        variable[:] = values


def _description(channel: Channel, kind: Kind, step: float) -> dict[str, str]:
    words = {"members": "", "mean": ", ensemble mean", "spread": ", ensemble standard deviation"}
    attributes = {
        "standard_name": channel.standard_name,
        "long_name": channel.long_name + words[kind],
        "units": channel.units,
        "cell_methods": METHODS[kind],
        "grid_mapping": "crs",
        "coverage_content_type": "modelResult",
        "comment": f"rounded to multiples of {step:.9g} {channel.units}",
    }
    if channel.units == "K":
        attributes["units_metadata"] = "temperature: difference" if kind == "spread" else "temperature: on_scale"
    return attributes


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Tiles of the map that reach through all times and, while they stay small, all members."""
    rows, columns = min(shape[-2], CHUNK_ROWS), min(shape[-1], CHUNK_COLUMNS)
    times = min(shape[-3], max(1, CHUNK_VALUES // (rows * columns)))
    if len(shape) == 3:
        return times, rows, columns
    return min(shape[0], max(1, CHUNK_VALUES // (rows * columns * times))), times, rows, columns
