"""The time axis of a gridded netCDF file, read the same way everywhere."""

from datetime import UTC, datetime, timedelta

import netCDF4
import numpy as np

__all__ = ["read_times"]


def read_times(file: netCDF4.Dataset) -> tuple[datetime, ...]:
    """Aware UTC; entries not yet written (in a file that is still growing) are left out.

    KeyError without a variable ``time``, ValueError for units other than hours since a date.
    """
    units = str(getattr(file["time"], "units", "none"))
    if not units.startswith("hours since "):
        raise ValueError(f"expected a time axis in hours since a date; its units are {units!r}")
    origin = datetime.fromisoformat(units.removeprefix("hours since ")).replace(tzinfo=UTC)
    hours = np.ma.filled(file["time"][:].astype(np.float64), np.nan)
    return tuple(origin + timedelta(hours=float(h)) for h in hours if np.isfinite(h))
