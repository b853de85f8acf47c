"""observations.nc: every value of a cycle with its verdict and its equivalents in background and analysis.

A table of points (CF discrete sampling geometry ``point``), one row per value. The columns ``value``, ``sigma``,
``background_mean`` and so on hold all channels, in the units that stand beside them in ``channel_units``: having no
one unit they count as coordinates. The columns ``air_temperature``, ``air_temperature_error`` and so on repeat them by
quantity, for tools that go by units.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt

from dacycle.channels import channel
from dacycle.cycler.products.atomic import Artefact, write_atomically
from dacycle.cycler.products.provenance import Provenance, extent, global_attributes, vertical_extent
from dacycle.errors import ProductError
from dacycle.obs.batch import ObservationBatch, Quality

__all__ = ["ObservationTable", "read_observations", "write_observations"]

FloatArray = npt.NDArray[np.float64]
SECONDS_SINCE = "seconds since 1970-01-01 00:00:00"
EQUIVALENTS = ("background_mean", "background_spread", "analysis_mean", "analysis_spread")
NUMBERS = ("lat", "lon", "value", "sigma", "elevation", "quality")
COORDINATES = ("time", "lat", "lon", "pressure")
PLACE = " ".join(COORDINATES)
LONG = {"": "value", "_error": "sigma"} | {f"_{name}": name for name in EQUIVALENTS}
"""Suffix of a quantity's column -> the column of all channels that it repeats."""
QUANTITY_COLUMNS: dict[str, tuple[str, str, str]] = {
    "": ("batch", ", observed", ""),
    "_error": ("batch", ", standard deviation of its error", " standard_error"),
    "_background_mean": ("table", ", background, ensemble mean", ""),
    "_background_spread": ("table", ", background, ensemble spread", ""),
    "_analysis_mean": ("table", ", analysis, ensemble mean", ""),
    "_analysis_spread": ("table", ", analysis, ensemble spread", ""),
}
TEXTS = {"station": "station identifier", "report": "station, nominal time and release time", "channel": "channel"}


@dataclass(frozen=True)
class ObservationTable:
    """A batch and, each (n,) and NaN where there is none, ensemble mean and spread of its equivalents.

    The spread is the unbiased standard deviation without observation error; ``withheld`` (n,) says whether the
    station was kept back for verification, whatever else became of the value.
    """

    batch: ObservationBatch
    background_mean: FloatArray
    background_spread: FloatArray
    analysis_mean: FloatArray
    analysis_spread: FloatArray
    withheld: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        for field in fields(self)[1:]:
            if (got := getattr(self, field.name).shape) != (len(self.batch),):
                raise ValueError(f"{field.name} must have shape ({len(self.batch)},); got {got}")

    @classmethod
    def of(
        cls,
        batch: ObservationBatch,
        background: npt.NDArray[np.floating] | None = None,
        analysis: npt.NDArray[np.floating] | None = None,
    ) -> "ObservationTable":
        """From the equivalents of all members, (members, n), or None; withheld is what is only evaluated."""
        before, after = _moments(background, len(batch)), _moments(analysis, len(batch))
        return cls(batch, *before, *after, withheld=batch.quality == Quality.EVALUATED_ONLY)


def _moments(members: npt.NDArray[np.floating] | None, n: int) -> tuple[FloatArray, FloatArray]:
    if members is None:
        return np.full(n, np.nan), np.full(n, np.nan)
    values = np.asarray(members, dtype=np.float64)
    return values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.full(n, np.nan)


def write_observations(path: Path, table: ObservationTable, provenance: Provenance) -> Artefact:
    """One file; the order of the values is that of the batch."""

    def write(temporary: Path) -> None:
        try:
            with netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
                file.set_auto_chartostring(False)
                _fill(file, table, provenance)
        except RuntimeError as error:  # what the HDF5 layer makes of a full disk
            raise ProductError(f"cannot write {path}: {error}") from error

    return write_atomically(path, write)


def _fill(file: netCDF4.Dataset, table: ObservationTable, provenance: Provenance) -> None:
    batch = table.batch
    file.setncatts(_attributes(batch, provenance))
    file.createDimension("obs", len(batch))
    clock = {"units": SECONDS_SINCE, "calendar": "standard", "units_metadata": "leap_seconds: utc"}
    seconds = batch.time.astype("datetime64[s]").astype(np.int64).astype(np.float64)
    _column(file, "time", seconds, {"standard_name": "time", "long_name": "when the balloon was released", **clock})
    lat = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
    lon = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
    _column(file, "lat", batch.lat, lat)
    _column(file, "lon", batch.lon, lon)
    pressure = {"standard_name": "air_pressure", "long_name": "pressure", "units": "hPa", "positive": "down"}
    _column(file, "pressure", _levels(batch), {**pressure, "comment": "missing at the surface"})
    analysis_time = file.createVariable("analysis_time", "f8", ())
    analysis_time.setncatts(
        {
            "standard_name": "forecast_reference_time",
            "long_name": "analysis time",
            "coverage_content_type": "referenceInformation",
            **clock,
        }
    )
    analysis_time[...] = batch.analysis_time.timestamp()
    for name, long_name in TEXTS.items():
        _text(file, name, getattr(batch, name), long_name)
    units = {name: channel(name).units for name in np.unique(batch.channel).tolist()}
    _text(
        file, "channel_units", np.array([units[name] for name in batch.channel.tolist()], dtype=str), "units of value"
    )
    elevation = {"standard_name": "surface_altitude", "long_name": "elevation of the station", "units": "m"}
    _column(file, "elevation", batch.elevation, elevation)
    _column(file, "value", batch.value, {"long_name": "observed value", "comment": "in channel_units"})
    _column(file, "sigma", batch.sigma, {"long_name": "standard deviation of its error", "comment": "in channel_units"})
    for name in EQUIVALENTS:
        which, what = name.split("_")
        words = f"{which} at the observation, ensemble {'mean' if what == 'mean' else 'standard deviation (unbiased)'}"
        _column(file, name, getattr(table, name), {"long_name": words, "comment": "in channel_units"})
    codes = {
        "long_name": "what became of the value",
        "flag_values": np.array([code.value for code in Quality], dtype=np.int16),
        "flag_meanings": " ".join(code.reason for code in Quality),
        "coverage_content_type": "qualityInformation",
    }
    _column(file, "quality", batch.quality, {**codes, "coordinates": f"{PLACE} {' '.join(LONG.values())}"})
    withheld = {
        "long_name": "station withheld for verification",
        "flag_values": np.array([0, 1], dtype=np.int8),
        "flag_meanings": "used withheld",
        "coverage_content_type": "auxiliaryInformation",
    }
    _column(file, "withheld", table.withheld.astype(np.int8), withheld)
    _quantities(file, table)


def _quantities(file: netCDF4.Dataset, table: ObservationTable) -> None:
    """The same numbers once more, one column per quantity: each with the one unit and standard name it can have."""
    batch = table.batch
    known = {name: channel(name) for name in np.unique(batch.channel).tolist()}
    for standard_name in sorted({c.standard_name for c in known.values()}):
        own = [name for name, c in known.items() if c.standard_name == standard_name]
        rows, units = np.isin(batch.channel, own), known[own[0]].units
        words = standard_name.replace("_", " ")
        for suffix, (owner, what, modifier) in QUANTITY_COLUMNS.items():
            values = np.where(rows, getattr(batch if owner == "batch" else table, LONG[suffix]), np.nan)
            attributes = {"standard_name": f"{standard_name}{modifier}", "long_name": f"{words}{what}", "units": units}
            if units == "K":
                scale = "difference" if suffix in ("_error", "_background_spread", "_analysis_spread") else "on_scale"
                attributes["units_metadata"] = f"temperature: {scale}"
            _column(file, standard_name + suffix, values, attributes)


def _attributes(batch: ObservationBatch, provenance: Provenance) -> dict[str, Any]:
    times = batch.time.astype("datetime64[s]").astype(np.int64)
    ends = [int(times.min()), int(times.max())] if len(batch) else [int(batch.analysis_time.timestamp())] * 2
    first, last = (datetime.fromtimestamp(seconds, UTC) for seconds in ends)
    title = f"Observations of the analysis of {batch.analysis_time:%Y-%m-%d %H} UTC"
    summary = (
        "Every sounding value that reached one analysis, whether used, withheld or rejected, with its error, the "
        "ensemble's equivalents before and after the analysis, and a code that says what became of it."
    )
    attributes = global_attributes(provenance, title, summary, batch.analysis_time, first, last)
    levels = _levels(batch)
    vertical = vertical_extent(levels[np.isfinite(levels)], "hPa", "down", "pressure")
    sampled = {"time_coverage_resolution": "PT1S"}
    return (
        attributes
        | extent(batch.lat, batch.lon)
        | vertical
        | sampled
        | {"featureType": "point", "cdm_data_type": "Point"}
    )


def _levels(batch: ObservationBatch) -> FloatArray:
    """(n,) pressure in hPa, NaN at the surface."""
    levels = {name: channel(name).level_hpa for name in np.unique(batch.channel).tolist()}
    return np.array([np.nan if (level := levels[name]) is None else level for name in batch.channel.tolist()], float)


def _column(file: netCDF4.Dataset, name: str, values: npt.NDArray[Any], attributes: dict[str, Any]) -> None:
    fill = np.nan if name not in {"time", "lat", "lon"} and values.dtype.kind == "f" else None
    variable = file.createVariable(name, values.dtype, ("obs",), compression="zlib", complevel=4, fill_value=fill)
    place = {} if name in COORDINATES else {"coordinates": PLACE}
    measured = name in {"value", "sigma"} or name.endswith("_error") or not name.endswith(("_mean", "_spread"))
    content = "coordinate" if not place else "physicalMeasurement" if measured else "modelResult"
    variable.setncatts({"coverage_content_type": content, **place, **attributes})
    variable[:] = values


def _text(file: netCDF4.Dataset, name: str, values: npt.NDArray[np.str_], long_name: str) -> None:
    """Texts as characters: unlike netCDF strings they compress. Their encoding is named, so that xarray gives str."""
    encoded = np.char.encode(values.astype(str), "utf-8")
    length = max(1, encoded.dtype.itemsize)
    file.createDimension(f"{name}_length", length)
    variable = file.createVariable(name, "S1", ("obs", f"{name}_length"), compression="zlib", complevel=4)
    attributes = {
        "_Encoding": "utf-8",
        "long_name": long_name,
        "coverage_content_type": "auxiliaryInformation",
        "coordinates": PLACE,
    }
    variable.setncatts(attributes)
    variable[:] = encoded.astype(f"S{length}").view("S1").reshape(len(values), length)


def read_observations(path: Path) -> ObservationTable:
    """What ``write_observations`` wrote, exactly; ProductError for anything else."""
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            file.set_auto_chartostring(False)
            columns: dict[str, Any] = {name: _strings(file[name][:]) for name in TEXTS}
            columns |= {name: np.asarray(file[name][:]) for name in NUMBERS}
            time = file["time"][:].astype(np.int64).astype("datetime64[s]")
            analysis_time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(file["analysis_time"][...]))
            batch = ObservationBatch(analysis_time=analysis_time, time=time, **columns)
            equivalents = {name: np.asarray(file[name][:]) for name in EQUIVALENTS}
            return ObservationTable(batch, **equivalents, withheld=file["withheld"][:] == 1)
    except (OSError, IndexError, ValueError) as error:
        raise ProductError(f"{path} is not an observation file of dacycle: {error}") from error


def _strings(characters: npt.NDArray[np.bytes_]) -> npt.NDArray[np.str_]:
    n, length = characters.shape
    if n == 0:
        return np.empty(0, dtype=f"U{length}")
    joined = np.ascontiguousarray(characters).view(f"S{length}").reshape(n)
    return np.asarray(np.char.decode(joined, "utf-8"))
