"""Fields of a published cycle for the page's map: one channel of mean, spread or increment, packed into 16 bits.

The body is a line of JSON (``nlat, nlon, lat, low, high, units, ...``), padded to an even length, and nlat x nlon
unsigned 16-bit integers, little endian, rows from north to south, longitudes eastward from 0: value = low + (high -
low) * integer / 65535.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args

import netCDF4
import numpy as np
import numpy.typing as npt

from dacycle.channels import channel
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.increment import INCREMENT, unpacked
from dacycle.cycler.cycle.records import CycleRecord, format_time
from dacycle.cycler.cycle.states import State
from dacycle.cycler.cycle.workspace import Kept
from dacycle.cycler.products.fields import read_fields
from dacycle.cycler.products.folders import product_folder
from dacycle.cycler.products.netcdf import SUFFIXES
from dacycle.cycler.service.world import card
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import ProductError

__all__ = ["KINDS", "Kind", "field", "offered"]

Kind = Literal["mean", "spread", "increment"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FloatArray = npt.NDArray[np.float32]


def offered(config: Config, history: History, record: CycleRecord) -> tuple[list[Kind], list[str]]:
    """What can be drawn of a cycle: kinds of field, and channels."""
    folder, stem = _place(config, record)
    names: list[str] = []
    if (folder / f"{stem}.nc").is_file():
        with netCDF4.Dataset(folder / f"{stem}.nc") as file:
            names = [n for n in card(config).channels if f"{channel(n).netcdf_name}_mean" in file.variables]
    elif (folder / f"{stem}_mean.grib2").is_file():
        names = card(config).channels
    kinds: list[Kind] = ["mean"] if names else []
    if (folder / f"{stem}.nc").is_file():
        kinds.append("spread")
    if names and INCREMENT in history.artefacts(record.id):
        kinds.append("increment")
    return kinds, names


def field(config: Config, history: History, record: CycleRecord, kind: Kind, name: str) -> bytes:
    """The body; ProductError where there is no such field."""
    described = channel(name)
    values = _increment(config, history, record, name) if kind == "increment" else _read(config, record, kind, name)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ProductError(f"{record.label}: {kind} of {name} is not finite")
    lat = gaussian_grid(*values.shape).lat
    header: dict[str, Any] = {
        "time": format_time(record.time),
        "kind": kind,
        "channel": name,
        "long_name": described.long_name,
        "units": described.units,
        "nlat": values.shape[0],
        "nlon": values.shape[1],
        "lat": [round(float(x), 3) for x in lat],
        "low": low,
        "high": high,
    }
    told = json.dumps(header).encode()
    scaled = (values - low) / max(high - low, 1e-30) * 65535
    values16: bytes = np.rint(scaled).astype("<u2").tobytes()
    return told + b" " * ((len(told) + 1) % 2) + b"\n" + values16


def _place(config: Config, record: CycleRecord) -> tuple[Path, str]:
    stem = "forecast" if record.state == State.PUBLISHED_FREE_FORECAST else "analysis"
    return product_folder(config.paths.state, record.time, str(record.stream)), stem


def _read(config: Config, record: CycleRecord, kind: Literal["mean", "spread"], name: str) -> FloatArray:
    folder, stem = _place(config, record)
    described = channel(name)
    if (folder / f"{stem}.nc").is_file():
        with netCDF4.Dataset(folder / f"{stem}.nc") as file:
            variable = described.netcdf_name + SUFFIXES[kind]
            if variable not in file.variables:
                raise ProductError(f"{folder / stem}.nc has no {variable}")
            return np.asarray(np.ma.filled(file[variable][0].astype(np.float32), np.nan))
    path = folder / f"{stem}_mean.grib2"
    if kind == "spread" or not path.is_file():
        raise ProductError(f"{folder} holds no {kind} that can be drawn: set [products] formats to hold netcdf")
    return np.asarray(read_fields(path, [described], record.time).values[0, 0])


def _increment(config: Config, history: History, record: CycleRecord, name: str) -> FloatArray:
    kept = Kept(config.paths.state, history, record)
    if not kept.has(INCREMENT):
        raise ProductError(f"{record.label} has no increment: it had no background, or its files were removed")
    names = card(config).channels
    if name not in names:
        raise ProductError(f"{record.label} has no channel {name}")
    return unpacked(kept.arrays(INCREMENT), names.index(name))
