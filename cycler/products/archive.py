"""The archive: all published cycles along one time axis in an icechunk repository, for reading months at once.

Every update is one commit, so a reader sees whole cycles only, and every earlier version can still be opened. A cycle
that was rerun is written over in place. Times stand in the order in which they came: ``sortby("time")`` after opening.
One process writes at a time: the one that holds the lock of the state directory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dacycle.cycler.products.catalogue import Entry
from dacycle.cycler.products.ensemble import Kind
from dacycle.cycler.products.export import zarr_chunks
from dacycle.errors import ProductError

__all__ = ["open_archive", "update"]

KINDS: tuple[Kind, ...] = ("mean", "spread")


def update(path: Path, state: Path, entries: Sequence[Entry], kinds: Sequence[Kind] = KINDS) -> int:
    """Bring the archive up to the catalogue's ``entries``; how many cycles were added or written over."""
    repository = _repository(path)
    known = _known(repository)
    stale = [e for e in entries if known.get(_hours(e), (0, 0))[1] != e.revision]
    if not stale:
        return 0
    from dacycle.cycler.products.pieces import join, piece

    session = repository.writable_session("main")
    store = session.store
    for entry in stale:
        part = join([piece(state, entry, kinds)])
        held = known.get(_hours(entry))
        if not known:
            part.to_zarr(store, mode="w", encoding=zarr_chunks(part), zarr_format=3, consolidated=False)
        elif held is None:
            part.to_zarr(store, append_dim="time", consolidated=False)
        else:
            timeless = [name for name, v in part.variables.items() if "time" not in v.dims]
            place = {"time": slice(held[0], held[0] + 1)}
            part.drop_vars(timeless).to_zarr(store, region=place, consolidated=False)
        known[_hours(entry)] = (len(known) if held is None else held[0], entry.revision)
    times = f"{stale[0].time:%Y-%m-%dT%H}" + (f" to {stale[-1].time:%Y-%m-%dT%H}" if len(stale) > 1 else "")
    session.commit(f"{len(stale)} cycles, {times}")
    return len(stale)


def open_archive(path: Path) -> Any:
    """The archive as an ``xarray.Dataset`` in ascending time, loaded where it is used."""
    import xarray as xr

    store = _repository(path, create=False).readonly_session("main").store
    return xr.open_zarr(store, consolidated=False).sortby("time")


def _repository(path: Path, create: bool = True) -> Any:
    try:
        import icechunk
    except ImportError:
        raise ProductError("icechunk is not installed: pip install 'dacycle[zarr]'") from None
    if (path.exists() or not create) and not path.is_dir():
        raise ProductError(f"expected an archive at {path}: a folder")
    icechunk.set_logs_filter("error")  # its warning of several writers is heeded: see above
    storage = icechunk.local_filesystem_storage(str(path))
    return icechunk.Repository.open_or_create(storage)


def _known(repository: Any) -> dict[float, tuple[int, int]]:
    """Hours since the epoch -> position and revision of every cycle in the archive."""
    import xarray as xr

    store = repository.readonly_session("main").store
    try:
        with xr.open_zarr(store, consolidated=False, decode_times=False) as archive:
            times, revisions = archive["time"].values, archive["revision"].values
    except (FileNotFoundError, KeyError):
        return {}
    return {float(t): (k, int(r)) for k, (t, r) in enumerate(zip(times, np.asarray(revisions), strict=True))}


def _hours(entry: Entry) -> float:
    return entry.time.timestamp() / 3600.0
