"""Whether the state directory can take a cycle: asked before every stage, so that none fills the disk half-way."""

import os
import shutil
from pathlib import Path

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config

__all__ = ["needed_bytes", "room", "unusable"]

BYTES_PER_VALUE = 16
"""Members while they are drawn, netCDF and GRIB of members, mean and spread."""
FIXED_BYTES = 4_000_000
"""Observations, manifests, headers: what does not grow with the grid."""
LEDGER_BYTES = 8_000_000
"""For the ledger and its log of changes, which must be able to tell that there is no room."""


def needed_bytes(config: Config, bundle: Bundle) -> int:
    """What has to be free before a stage of a cycle begins."""
    nlat, nlon = bundle.grid.shape
    values = config.ensemble.members * len(bundle.channels) * nlat * nlon
    return BYTES_PER_VALUE * values + FIXED_BYTES + LEDGER_BYTES


def room(folder: Path) -> tuple[int, int]:
    """Free bytes, and these with the used ones: what is reserved for the superuser is neither, as in ``df``."""
    disk = shutil.disk_usage(folder)
    return disk.free, disk.used + disk.free


def unusable(state: Path, needed: int) -> str | None:
    """Why nothing can be written there just now; None where all is well."""
    try:
        free = shutil.disk_usage(state).free
    except OSError as error:
        return f"state directory {state} cannot be read: {error.strerror}"
    if free < needed:
        return f"{free / 1e6:.0f} MB free at {state}, a cycle needs {needed / 1e6:.0f} MB: make room; nothing is lost"
    # Of the superuser, too, a read-only file system is not written to.
    for folder in (state, state / "work", state / "products"):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder} is read-only or not ours to write: mend that, and it goes on; nothing is lost"
    return None
