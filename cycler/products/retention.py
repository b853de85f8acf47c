"""Old products go by rule: what is older than a limit, unless something still needs it."""

import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dacycle.cycler.products.atomic import flush
from dacycle.errors import ProductError

__all__ = ["Expired", "expired", "published_times", "remove"]

REMOVED = ".removed"


@dataclass(frozen=True)
class Expired:
    """A cycle's folder that may go: its analysis time, its path and its size on disk."""

    time: datetime
    folder: Path
    bytes: int


def published_times(state: Path) -> Iterator[tuple[datetime, Path]]:
    """Analysis times that have a product folder below ``state``, ascending, with it."""
    for folder in sorted((state / "products").glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]/[0-9][0-9]")):
        try:
            time = datetime(*(int(part) for part in folder.parts[-4:]), tzinfo=UTC)  # type: ignore[misc,arg-type]
        except ValueError:  # digits that are no date are none of ours
            continue
        if folder.is_dir():
            yield time, folder


def expired(state: Path, before: datetime, needed: Collection[datetime]) -> list[Expired]:
    """Folders of analysis times earlier than ``before`` that are not ``needed``; nothing is removed: the dry run."""
    return [
        Expired(time, folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
        for time, folder in published_times(state)
        if time < before and time not in needed
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
