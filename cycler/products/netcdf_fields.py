"""Fields in netCDF by the CF conventions, of any centre and our own: variables are known by what they say they are.

A variable is taken for a channel by its standard name (or, where it has none, by the short name that ECMWF and NCEP
give it), its units and its level, which is a dimension or a scalar coordinate.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt

from dacycle.cycler.products.layout import Degrees, Found, orientation
from dacycle.cycler.products.parameters import GRAVITY, OROGRAPHY
from dacycle.errors import ProductError

__all__ = ["read_netcdf"]

QUANTITIES = {
    "air_temperature": "t",
    "eastward_wind": "u",
    "northward_wind": "v",
    "specific_humidity": "q",
    "relative_humidity": "r",
    "geopotential_height": "z",
    "geopotential": "z",
    "surface_air_pressure": "sp",
    "surface_altitude": OROGRAPHY,
}
SHORT_NAMES = {"gh": "z", "t2m": "2t", "u10": "10u", "v10": "10v", "orog": OROGRAPHY}
AT_HEIGHT = {("t", 2): "2t", ("u", 10): "10u", ("v", 10): "10v"}
UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "t": {"K": (1, 0), "kelvin": (1, 0), "degC": (1, 273.15), "Celsius": (1, 273.15)},
    "u": {"m s-1": (1, 0), "m s**-1": (1, 0), "m/s": (1, 0), "m s^-1": (1, 0)},
    "q": {"kg kg-1": (1, 0), "kg kg**-1": (1, 0), "kg/kg": (1, 0), "1": (1, 0), "g kg-1": (1e-3, 0), "g/kg": (1e-3, 0)},
    "r": {"%": (1, 0), "percent": (1, 0), "1": (100, 0)},
    "z": {
        **dict.fromkeys(("m", "gpm", "metre", "meter", "meters"), (1, 0)),
        **dict.fromkeys(("m2 s-2", "m**2 s**-2", "m^2 s^-2", "m2/s2", "m^2/s^2"), (1 / GRAVITY, 0)),
    },
    "sp": {"Pa": (1, 0), "hPa": (100, 0), "mbar": (100, 0)},
}
"""Quantity -> its units as they are met -> factor and offset to the channel's."""
SAME_UNITS = {"v": "u", "2t": "t", "10u": "u", "10v": "u", OROGRAPHY: "z"}
PRESSURES = {"hPa": 1.0, "millibars": 1.0, "mbar": 1.0, "mb": 1.0, "Pa": 0.01}
LATITUDES = {"degrees_north", "degree_north", "degrees_N", "degreeN"}
LONGITUDES = {"degrees_east", "degree_east", "degrees_E", "degreeE"}
MEMBERS = {"realization", "number", "member", "ensemble", "ens"}


def read_netcdf(path: Path, wanted: Collection[str]) -> tuple[Found, Degrees, Degrees]:
    """Every field of the ``wanted`` names, and the grid they share; ProductError says what cannot be read.

    Of members and their mean, the members count; a spread is no state.
    """
    found: Found = {}
    done: set[tuple[datetime, str]] = set()
    grid: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Degrees, Degrees] | None = None
    try:
        with netCDF4.Dataset(path) as file:
            for variable in sorted(file.variables.values(), key=lambda v: -v.ndim):
                if (where := _horizontal(file, variable)) is None or "deviation" in _text(variable, "cell_methods"):
                    continue
                fields = list(_fields(path, file, variable, where, wanted))
                if not fields:
                    continue
                lat, lon = (np.asarray(file[name][:], np.float64) for name in where)
                layout = orientation(lat, lon)
                if grid is None:
                    grid = layout
                elif not (np.array_equal(grid[2], layout[2]) and np.array_equal(grid[3], layout[3])):
                    raise ProductError(f"{path}: {variable.name} is on another grid than the fields before it")
                # Most dimensions come first: members count, and their mean beside them is left.
                found |= {key: field[layout[0]][:, layout[1]] for key, field in fields if key[:2] not in done}
                done |= {key[:2] for key, _ in fields}
    except (OSError, IndexError, AttributeError, ValueError) as error:
        raise ProductError(f"{path} is no netCDF file of gridded fields: {error}") from error
    return (found, np.empty(0), np.empty(0)) if grid is None else (found, grid[2], grid[3])


def _fields(
    path: Path, file: Any, variable: Any, where: tuple[str, str], wanted: Collection[str]
) -> Iterator[tuple[tuple[datetime, str, int], npt.NDArray[np.float32]]]:
    """(valid time, name, member) and values (nlat, nlon) of everything in a variable that is wanted."""
    quantity = _quantity(variable)
    if quantity is None:
        return
    levels = _levels(file, variable)
    names = [_name(quantity, level) for level in levels]
    if not set(names) & set(wanted):
        return
    factor, offset = _conversion(path, variable, quantity)
    members, member_axis = _members(file, variable)
    times, time_axis = _times(path, file, variable, static=quantity == OROGRAPHY)
    level_axis = next((n for n in variable.dimensions if _pressure(file, n) is not None), None)
    data = np.ma.filled(np.ma.asarray(variable[:]).astype(np.float64), np.nan) * factor + offset
    axes = {name: i for i, name in enumerate(variable.dimensions)}
    order = [axes[n] for n in (time_axis, member_axis, level_axis) if n in axes]
    rest = [axes[n] for n in where]
    if len(order) + 2 != data.ndim:
        other = set(variable.dimensions) - {time_axis, member_axis, level_axis, *where}
        raise ProductError(f"{path}: {variable.name} has the dimension {min(other)}, which is none of a field's")
    shape = (len(times), len(members), len(names), *(data.shape[i] for i in rest))
    values = data.transpose(*order, *rest).reshape(shape).astype(np.float32)
    for i, time in enumerate(times):
        for j, member in enumerate(members):
            for k, name in enumerate(names):
                if name in wanted:
                    yield (time, name, member), values[i, j, k]


def _quantity(variable: Any) -> str | None:
    """What the variable is, whatever its level: a letter, or the name of a surface channel."""
    if variable.name in SHORT_NAMES:
        return SHORT_NAMES[variable.name]
    standard = _text(variable, "standard_name")
    if standard in QUANTITIES:
        return QUANTITIES[standard]
    return variable.name if standard in ("", "unknown") and variable.name in QUANTITIES.values() else None


def _name(quantity: str, level: tuple[str, float] | None) -> str:
    """The channel of a quantity at a level; no channel has the name that is returned for what is none."""
    if level is None:
        return quantity
    kind, value = level
    return f"{quantity}{round(value)}" if kind == "pressure" else AT_HEIGHT.get((quantity, round(value)), quantity)


def _levels(file: Any, variable: Any) -> list[tuple[str, float] | None]:
    """The levels of a variable: ``("pressure", hPa)``, ``("height", m)``, or None where nothing says."""
    for name in variable.dimensions:
        if (pressures := _pressure(file, name)) is not None:
            return [("pressure", float(p)) for p in pressures]
    for name in _text(variable, "coordinates").split():
        if name not in file.variables or file[name].ndim:
            continue
        if (pressures := _pressure(file, name)) is not None:
            return [("pressure", float(pressures))]
        if _text(file[name], "standard_name") == "height" or name == "heightAboveGround":
            return [("height", float(file[name][...]))]
    return [None]


def _pressure(file: Any, name: str) -> npt.NDArray[np.float64] | None:
    """hPa, where a coordinate is one of pressure; files without units say it by the coordinate's name."""
    if name not in file.variables or name == "sp":
        return None
    units = _text(file[name], "units")
    known = _text(file[name], "standard_name") in ("air_pressure", "") and name not in LATITUDES
    if units in PRESSURES and known and set(file[name].dimensions) <= {name}:
        return np.asarray(file[name][...], np.float64) * PRESSURES[units]
    return None


def _conversion(path: Path, variable: Any, quantity: str) -> tuple[float, float]:
    known = UNITS[SAME_UNITS.get(quantity, quantity)]
    units = _text(variable, "units")
    if units not in known:
        raise ProductError(f"{path}: {variable.name} is in {units or 'no units'}; expected one of {', '.join(known)}")
    return known[units]


def _members(file: Any, variable: Any) -> tuple[list[int], str | None]:
    for name in variable.dimensions:
        if name in MEMBERS:
            length = file.dimensions[name].size
            numbers = file[name][:].tolist() if name in file.variables else range(1, length + 1)
            return [int(number) for number in numbers], name
    return [0], None


def _times(path: Path, file: Any, variable: Any, static: bool) -> tuple[list[datetime], str | None]:
    """Valid times of a variable and their dimension; a coordinate that calls itself ``time`` counts before a name."""
    clocks = [v for v in file.variables.values() if _text(v, "standard_name") == "time"]
    clocks += [file[name] for name in ("valid_time", "time") if name in file.variables]
    for clock in clocks:
        if set(clock.dimensions) <= set(variable.dimensions) and "since" in _text(clock, "units"):
            calendar = getattr(clock, "calendar", "standard")
            numbers = np.atleast_1d(np.ma.filled(clock[...], np.nan))
            told: Any = netCDF4.num2date(numbers, clock.units, calendar, only_use_cftime_datetimes=False)
            times = [datetime.fromisoformat(f"{t:%Y-%m-%dT%H:%M:%S}").replace(tzinfo=UTC) for t in told]
            return times, clock.dimensions[0] if clock.dimensions else None
    if static:
        return [datetime(1, 1, 1, tzinfo=UTC)], None
    raise ProductError(f"{path}: no coordinate says when {variable.name} is valid")


def _horizontal(file: Any, variable: Any) -> tuple[str, str] | None:
    """Names of its dimensions of latitude and longitude."""
    units = {name: _text(file[name], "units") for name in variable.dimensions if name in file.variables}
    lat = next((name for name, unit in units.items() if unit in LATITUDES), None)
    lon = next((name for name, unit in units.items() if unit in LONGITUDES), None)
    return (lat, lon) if lat and lon and variable.ndim > 1 else None


def _text(variable: Any, attribute: str) -> str:
    return str(getattr(variable, attribute, ""))
