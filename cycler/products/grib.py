"""GRIB2 files of members, mean, spread or probabilities, one kind per file: in one file, readers mix the kinds up.

Codes: WMO FM 92 GRIB2, section 1 (identification), templates 3.40 (Gaussian grid), 4.1, 4.2 and 4.5 (a member, a
derived field, a probability), 5.42 (CCSDS packing). Every message is decoded again from disk before the file gets its
name.
"""

import sqlite3  # noqa: F401  before ecCodes, whose wheel brings an old SQLite that would take the place of Python's
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

import eccodes
import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.products.atomic import Artefact, write_atomically
from dacycle.cycler.products.ensemble import Ensemble, Kind
from dacycle.cycler.products.issuer import NOBODY, Issuer
from dacycle.cycler.products.parameters import parameter
from dacycle.cycler.products.thresholds import Threshold
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.errors import ProductError

__all__ = ["write_grib"]

Value = int | float | str

BITS = 16
"""Bits per value. For sp over high mountains this is 1 Pa, for q in the tropics 5e-7 kg/kg, both far below any
observation error; and some readers silently return nonsense for CCSDS packing of 17 bits and more."""

SPHERE_OF_6371229_M = 6
OWN_PROCESS = 100  # generatingProcessIdentifier, 1 to 254 are the centre's own choice
MOST_MEMBERS = 254  # one octet, whose 255 means missing
TEMPLATES: dict[Kind, int] = {"members": 1, "mean": 2, "spread": 2, "probability": 5}
DERIVED = {"mean": 0, "spread": 4}  # code table 4.7
LIMITS = {"above": (3, "LowerLimit"), "below": (4, "UpperLimit")}  # code table 4.9
GRID_TOLERANCE = 1e-6  # degrees, what section 3 resolves


@dataclass(frozen=True)
class Message:
    """What one message is to hold: keys in the order in which they are set, and values (nlat, nlon)."""

    keys: dict[str, Value]
    values: npt.NDArray[np.float32]


def write_grib(
    path: Path, ensembles: Sequence[Ensemble], kind: Kind, test: bool = False, issuer: Issuer = NOBODY
) -> Artefact:
    """One file of ``kind`` for all valid times; ``test`` marks the data as no operational product (code table 1.3);
    ``issuer``: the originating centre.

    ProductError when a value cannot be packed, or when anything reads back differently from what was meant.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            for ensemble in ensembles:
                with _template(ensemble, kind, test, issuer) as handle:
                    before: dict[str, Value] = {}
                    for message in _messages(ensemble, kind):
                        _encode(handle, message, before, issuer, path)
                        before = message.keys
                        eccodes.codes_write(handle, file)
        _check(temporary, path, ensembles, kind, test, issuer)

    return write_atomically(path, write)


def _identification(ensemble: Ensemble, kind: Kind, test: bool, issuer: Issuer) -> dict[str, Value]:
    """The keys that all messages of an ensemble share."""
    forecast = ensemble.hours is not None
    if ensemble.members > MOST_MEMBERS:
        raise ProductError(
            f"{ensemble}: GRIB2 template 4.1 numbers at most {MOST_MEMBERS} members; got {ensemble.members}"
        )
    return {
        "tablesVersion": 32,
        "centre": issuer.centre,
        "subCentre": issuer.subcentre,
        "significanceOfReferenceTime": 1 if forecast else 0,
        "dataDate": int(f"{ensemble.reference:%Y%m%d}"),
        "dataTime": int(f"{ensemble.reference:%H%M}"),
        "productionStatusOfProcessedData": 1 if test else 0,
        "typeOfProcessedData": 4 if forecast else 0,
        **_geometry(ensemble.grid),
        "productDefinitionTemplateNumber": TEMPLATES[kind],
        "typeOfGeneratingProcess": 4 if forecast else 0,
        "generatingProcessIdentifier": OWN_PROCESS,
        "backgroundProcess": 255,
        "indicatorOfUnitOfTimeRange": 1,
        "forecastTime": ensemble.hours or 0,
        **_kind(ensemble, kind),
    }


def _kind(ensemble: Ensemble, kind: Kind) -> dict[str, Value]:
    if kind == "probability":
        return {"totalNumberOfForecastProbabilities": len(ensemble.thresholds)}
    size: dict[str, Value] = {"numberOfForecastsInEnsemble": ensemble.members}
    return {**size, **({"typeOfEnsembleForecast": 6} if kind == "members" else {"derivedForecast": DERIVED[kind]})}


@cache
def _gaussian(nlat: int, nlon: int) -> Grid:
    return gaussian_grid(nlat, nlon)


def _geometry(grid: Grid) -> dict[str, Value]:
    nlat, nlon = grid.shape
    truth = _gaussian(nlat, nlon)
    if np.abs(grid.lat - truth.lat).max() > GRID_TOLERANCE or np.abs(grid.lon - truth.lon).max() > GRID_TOLERANCE:
        raise ProductError(f"the {nlat}x{nlon} grid is not Gaussian; only Gaussian grids are written as GRIB2")
    return {
        "gridType": "regular_gg",
        "shapeOfTheEarth": SPHERE_OF_6371229_M,
        "Ni": nlon,
        "Nj": nlat,
        "N": nlat // 2,
        "latitudeOfFirstGridPointInDegrees": float(grid.lat[0]),
        "latitudeOfLastGridPointInDegrees": float(grid.lat[-1]),
        "longitudeOfFirstGridPointInDegrees": float(grid.lon[0]),
        "longitudeOfLastGridPointInDegrees": float(grid.lon[-1]),
        "iDirectionIncrementInDegrees": 360.0 / nlon,
        "iScansNegatively": 0,
        "jScansPositively": 0,
    }


def _parameter(channel: Channel) -> dict[str, Value]:
    meaning = parameter(channel)
    return {"shortName": meaning.short_name, "typeOfLevel": meaning.type_of_level, "level": meaning.level}


def _limit(threshold: Threshold) -> dict[str, Value]:
    """The threshold as an integer and a power of ten."""
    kind, name = LIMITS[threshold.comparison]
    sign, digits, exponent = Decimal(f"{threshold.value:.9g}").as_tuple()
    assert isinstance(exponent, int)
    whole = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    scaled = {f"scaleFactorOf{name}": max(-exponent, 0), f"scaledValueOf{name}": -whole if sign else whole}
    return {"probabilityType": kind, **scaled}


@contextmanager
def _template(ensemble: Ensemble, kind: Kind, test: bool, issuer: Issuer) -> Iterator[int]:
    handle = eccodes.codes_grib_new_from_samples("GRIB2")
    try:
        for key, value in _identification(ensemble, kind, test, issuer).items():
            eccodes.codes_set(handle, key, value)
        yield handle
    finally:
        eccodes.codes_release(handle)


def _messages(ensemble: Ensemble, kind: Kind) -> Iterator[Message]:
    """Messages in the order of the file: channel by channel, each with all members."""
    fields = ensemble.fields(kind)
    if kind == "probability":
        by_name = {channel.name: channel for channel in ensemble.channels}
        for number, (threshold, values) in enumerate(zip(ensemble.thresholds, fields[0], strict=True), start=1):
            keys = _parameter(by_name[threshold.channel]) | _limit(threshold)
            yield Message({**keys, "forecastProbabilityNumber": number}, values)
        return
    for index, channel in enumerate(ensemble.channels):
        keys = _parameter(channel)
        for number, state in enumerate(fields, start=1):
            own: dict[str, Value] = {"perturbationNumber": number} if kind == "members" else {}
            yield Message({**keys, **own}, state[index])


def _encode(handle: int, message: Message, before: dict[str, Value], issuer: Issuer, path: Path) -> None:
    """Set what differs from the message ``before`` in the same handle, then the values."""
    try:
        # Names are WMO's: at some centres a name such as sp means something else to the library, while it is set.
        eccodes.codes_set(handle, "centre", NOBODY.centre)
        for key, value in message.keys.items():
            if before.get(key) != value:
                eccodes.codes_set(handle, key, value)
        eccodes.codes_set(handle, "centre", issuer.centre)
        # A constant field drops its packing from the handle, hence anew for every message.
        if eccodes.codes_get_string(handle, "packingType") != "grid_ccsds":
            eccodes.codes_set(handle, "packingType", "grid_ccsds")
        eccodes.codes_set(handle, "bitsPerValue", BITS)
        eccodes.codes_set_values(handle, message.values.astype(np.float64).ravel())
    except eccodes.CodesInternalError as error:
        raise ProductError(f"cannot write {path}: ecCodes refuses {message.keys}: {error}") from error


def _check(written: Path, path: Path, ensembles: Sequence[Ensemble], kind: Kind, test: bool, issuer: Issuer) -> None:
    """Read everything back; ProductError names the first key or value that differs."""
    with written.open("rb") as file:
        for ensemble in ensembles:
            shared = _identification(ensemble, kind, test, issuer)
            for message in _messages(ensemble, kind):
                handle = eccodes.codes_grib_new_from_file(file)
                if handle is None:
                    raise ProductError(f"{path} reads back shorter than written: {message.keys} is missing")
                try:
                    _compare(handle, {**shared, **message.keys}, message, path)
                finally:
                    eccodes.codes_release(handle)
        if file.read(1):
            raise ProductError(f"{path} reads back longer than written")


def _compare(handle: int, keys: dict[str, Value], message: Message, path: Path) -> None:
    constant = message.values.min() == message.values.max()
    if not constant:
        keys = {**keys, "packingType": "grid_ccsds", "bitsPerValue": BITS}
    for key, value in keys.items():
        got = eccodes.codes_get(handle, key, type(value))
        if key == "centre":
            eccodes.codes_set(handle, key, NOBODY.centre)  # the names that follow are WMO's, as they were set
        if got != value and not (isinstance(value, float) and abs(got - value) <= GRID_TOLERANCE):
            raise ProductError(f"{path}: {message.keys} reads back with {key} = {got}, expected {value}")
    # The reference value is a 32-bit float, rounded once when packing.
    allowed = eccodes.codes_get(handle, "packingError", float) + np.spacing(np.abs(message.values).max())
    off = np.abs(eccodes.codes_get_values(handle) - message.values.ravel()).max()
    if not off <= allowed:
        raise ProductError(f"{path}: {message.keys} reads back off by {off:.3g}, more than the packing's {allowed:.3g}")
