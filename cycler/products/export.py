"""Published cycles of a period, a region and some channels in one file: netCDF, GRIB2 or zarr."""

import shutil
import sqlite3  # noqa: F401  before ecCodes, whose wheel brings an old SQLite that would take the place of Python's
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import eccodes
import numpy as np

from dacycle.cycler.products.atomic import write_atomically
from dacycle.cycler.products.catalogue import Entry
from dacycle.cycler.products.derived import any_channel
from dacycle.cycler.products.ensemble import Kind
from dacycle.cycler.products.parameters import channel_of
from dacycle.cycler.products.pieces import Region, join, piece, selection
from dacycle.errors import ProductError

__all__ = ["FORMATS", "Request", "export", "zarr_chunks"]

Format = Literal["netcdf", "grib2", "zarr"]
FORMATS: dict[str, Format] = {".nc": "netcdf", ".grib2": "grib2", ".grb2": "grib2", ".grib": "grib2", ".zarr": "zarr"}
"""By the ending of the file's name."""
GLOBE = Region()
AT_ONCE = 16  # cycles that are in memory together while zarr is written
MOST_BYTES = 4 * 2**30
CHUNKS = {"realization": 1, "time": 32, "lat": 32, "lon": 64}


@dataclass(frozen=True)
class Request:
    """What to export: ``channels`` None means all."""

    kinds: tuple[Kind, ...] = ("mean", "spread")
    channels: tuple[str, ...] | None = None
    region: Region = GLOBE


def export(state: Path, entries: Sequence[Entry], request: Request, out: Path) -> list[Path]:
    """Write ``out``, whole or not at all, in the format that its ending names; the paths that were written.

    GRIB2 gives one file per kind, with the kind in its name: in one file, readers mix them up. ProductError where
    something is missing or does not fit together.
    """
    if not entries:
        raise ProductError("the catalogue has no products of that period; `dacycle catalogue list` shows what there is")
    kind = FORMATS.get(out.suffix)
    if kind is None:
        raise ProductError(f"{out}: expected a name that ends in {', '.join(FORMATS)}")
    if kind == "grib2":
        return [_grib(state, entries, request, each, _named(out, each, request)) for each in request.kinds]
    (_netcdf if kind == "netcdf" else _zarr)(state, entries, request, out)
    return [out]


def _named(out: Path, kind: Kind, request: Request) -> Path:
    return out if len(request.kinds) == 1 else out.with_name(f"{out.stem}_{kind}{out.suffix}")


def _netcdf(state: Path, entries: Sequence[Entry], request: Request, out: Path) -> None:
    first = piece(state, entries[0], request.kinds, request.channels, request.region)
    if first.nbytes * len(entries) > MOST_BYTES:
        raise ProductError(
            f"{out}: {first.nbytes * len(entries) / 1e9:.1f} GB are too much for one netCDF file; choose fewer "
            "channels, a region or a shorter period, or a name that ends in .zarr, which is written piece by piece"
        )
    rest = [piece(state, e, request.kinds, request.channels, request.region) for e in entries[1:]]
    whole = join([first, *rest])
    encoding = {str(name): _encoding(variable, zlib=True, complevel=1) for name, variable in whole.variables.items()}
    write_atomically(out, lambda path: whole.to_netcdf(path, engine="netcdf4", format="NETCDF4", encoding=encoding))


def _encoding(variable: Any, **packing: Any) -> dict[str, Any]:
    """Chunks that serve maps and time series; no fill value, for nothing is missing."""
    if variable.ndim < 3:
        return {"_FillValue": None}
    chunks = tuple(min(CHUNKS[name], size) for name, size in zip(variable.dims, variable.shape, strict=True))
    return {"_FillValue": None, "chunksizes": chunks, "shuffle": True, **packing}


def _zarr(state: Path, entries: Sequence[Entry], request: Request, out: Path) -> None:
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise ProductError("zarr is not installed: pip install 'dacycle[zarr]'") from None
    if out.exists():
        raise ProductError(f"{out} exists; choose another name, or remove it first")
    staging = out.with_name(f".{out.name}.staging")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for start in range(0, len(entries), AT_ONCE):
            some = entries[start : start + AT_ONCE]
            part = join([piece(state, e, request.kinds, request.channels, request.region) for e in some])
            if start == 0:
                encoding = zarr_chunks(part)
                part.to_zarr(staging, mode="w", encoding=encoding, consolidated=False, zarr_format=3)
            else:
                part.to_zarr(staging, append_dim="time", consolidated=False)
        staging.rename(out)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(error, OSError):
            raise ProductError(f"cannot write {out}: {error.strerror or error}") from error
        raise


def zarr_chunks(whole: Any) -> dict[str, dict[str, Any]]:
    """Encoding of the fields of a dataset that is going to grow along time."""
    return {
        str(name): {"chunks": tuple(CHUNKS[d] if d == "time" else min(CHUNKS[d], n) for d, n in v.sizes.items())}
        for name, v in whole.data_vars.items()
        if v.ndim > 2
    }


def _grib(state: Path, entries: Sequence[Entry], request: Request, kind: Kind, out: Path) -> Path:
    """Messages as they were published; those of a region keep every key but the grid's extent."""
    wanted = None if request.channels is None else {any_channel(name).name for name in request.channels}

    def write(path: Path) -> None:
        known: set[str] = set()
        with path.open("wb") as file:
            for entry in entries:
                source = state / entry.folder / f"{entry.kind}_{kind}.grib2"
                if not source.is_file():
                    raise ProductError(f"{source} is not there; see [products] formats and members")
                _each(source, lambda handle: _copy(handle, wanted, request.region, file, known))
        if wanted is not None and (missing := wanted - known):
            told = f"the products lack {' '.join(sorted(missing))}; their channels: {' '.join(sorted(known))}"
            raise ProductError(told)

    write_atomically(out, write)
    return out


def _each(source: Path, use: Callable[[int], None]) -> None:
    with source.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            try:
                use(handle)
            finally:
                eccodes.codes_release(handle)


def _copy(handle: int, wanted: set[str] | None, region: Region, file: Any, known: set[str]) -> None:
    """Write the message if it is wanted; ``known`` gathers the channels that there are."""
    meaning = channel_of(*(eccodes.codes_get(handle, key) for key in ("shortName", "typeOfLevel", "level")))
    if meaning is None:
        return
    known.add(meaning[0].name)
    if wanted is not None and meaning[0].name not in wanted:
        return
    if not region.whole:
        shape = (eccodes.codes_get_long(handle, "Nj"), eccodes.codes_get_long(handle, "Ni"))
        lat = eccodes.codes_get_array(handle, "latitudes").reshape(shape)[:, 0]
        lon = eccodes.codes_get_array(handle, "longitudes").reshape(shape)[0]
        rows, columns = selection(region, lat, lon)
        values = eccodes.codes_get_values(handle).reshape(shape)[rows][:, columns]
        for key, value in {
            "Ni": len(columns),
            "Nj": len(rows),
            "latitudeOfFirstGridPointInDegrees": float(lat[rows[0]]),
            "latitudeOfLastGridPointInDegrees": float(lat[rows[-1]]),
            "longitudeOfFirstGridPointInDegrees": float(lon[columns[0]]),
            "longitudeOfLastGridPointInDegrees": float(lon[columns[-1]]),
        }.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, np.ascontiguousarray(values).ravel())
    eccodes.codes_write(handle, file)
