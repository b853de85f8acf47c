"""Product folders that are older than a limit, and removing them at once for whoever reads; the rule is elsewhere."""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dacycle.cycler.products.atomic import flush
from dacycle.cycler.products.folders import published_times
from dacycle.errors import ProductError

__all__ = ["Expired", "expired", "remove"]

REMOVED = ".removed"


@dataclass(frozen=True)
class Expired:
    """A cycle's folder that may go: its analysis time, its path and its size on disk."""

    time: datetime
    folder: Path
    bytes: int


def expired(state: Path, before: datetime) -> list[Expired]:
    """Folders of analysis times earlier than ``before``; nothing is removed: the dry run."""
    return [
        Expired(time, folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
        for time, folder in published_times(state)
        if time < before
    ]


def remove(state: Path, condemned: Collection[Expired]) -> None:
    """Remove the folders, each at once for readers, and the days, months and years that become empty.

    What a removal that died has left below ``state`` goes, too.
    """
    for each in condemned:
        try:
            each.folder.rename(each.folder.with_name(f".{each.folder.name}{REMOVED}"))
            flush(each.folder.parent)
        except OSError as error:
            raise ProductError(f"cannot remove {each.folder}: {error.strerror or error}") from error
    for hidden in sorted((state / "products").glob(f"*/*/*/.*{REMOVED}")):
        try:
            shutil.rmtree(hidden)
            _prune(hidden)
        except OSError as error:
            raise ProductError(f"cannot remove {hidden}: {error.strerror or error}") from error


def _prune(folder: Path) -> None:
    for parent in list(folder.parents)[:3]:
        if any(parent.iterdir()):
            return
        parent.rmdir()
