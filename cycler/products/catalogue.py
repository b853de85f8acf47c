"""The catalogue: which product folders there are, which of them are valid, and what lies in them.

One row in the ledger's table ``products`` per published revision. It is made from the manifests on disk whenever a
folder changes, so that the two cannot drift apart; what retention removed stays as a row without files.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dacycle.cycler.products.folders import SUPERSEDED, Stream, product_folder

if TYPE_CHECKING:
    from dacycle.cycler.products.manifest import Manifest

__all__ = ["Entry", "Status", "enter", "find", "lying"]

Status = Literal["valid", "superseded", "removed"]

COLUMNS = "time, stream, revision, status, kind, folder, files, members, background, method, bundle, world"


@dataclass(frozen=True)
class Entry:
    """One revision of one cycle's products; ``folder`` is below the state directory, ``files``: name -> bytes.

    ``kind`` says whether soundings had a say (analysis) or not (forecast).
    """

    time: datetime
    stream: Stream
    revision: int
    status: Status
    kind: Literal["analysis", "forecast"]
    folder: str
    files: dict[str, int]
    members: int
    background: str
    method: str
    bundle: str
    world: str

    @classmethod
    def of(cls, manifest: "Manifest", folder: str, status: Status) -> "Entry":
        """What a manifest says of its folder."""
        return cls(
            time=datetime.fromisoformat(manifest.time),
            stream=manifest.stream,
            revision=manifest.revision,
            status=status,
            kind="analysis" if any(name.startswith("analysis") for name in manifest.products) else "forecast",
            folder=folder,
            files={name: file.bytes for name, file in manifest.products.items()},
            members=manifest.members,
            background=manifest.background,
            method=manifest.method,
            bundle=manifest.bundle.name,
            world=manifest.bundle.world,
        )

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(self.files.values())


def lying(state: Path, time: datetime, stream: str) -> list[Entry]:
    """The valid products of a cycle and the superseded ones, as they lie on disk; ProductError for a bad manifest."""
    from dacycle.cycler.products.manifest import read_manifest

    folder = product_folder(state, time, stream)
    places: list[tuple[Path, Status]] = [(folder, "valid")]
    places += [(path, "superseded") for path in sorted((folder / SUPERSEDED).glob("[0-9]*"))]
    return [
        Entry.of(manifest, path.relative_to(state).as_posix(), status)
        for path, status in places
        if (manifest := read_manifest(path)) is not None
    ]


def enter(db: sqlite3.Connection, time: datetime, stream: str, entries: Iterable[Entry]) -> None:
    """Make the rows of a cycle what lies on disk; revisions that are no longer there are marked removed."""
    db.execute("UPDATE products SET status = 'removed' WHERE time = ? AND stream = ?", (stamp(time), stream))
    rows = [
        (
            stamp(entry.time),
            *(entry.stream, entry.revision, entry.status, entry.kind, entry.folder),
            json.dumps(entry.files, sort_keys=True),
            *(entry.members, entry.background, entry.method, entry.bundle, entry.world),
        )
        for entry in entries
    ]
    marks = ", ".join("?" * len(COLUMNS.split(",")))
    db.executemany(f"INSERT OR REPLACE INTO products ({COLUMNS}) VALUES ({marks})", rows)


def find(
    db: sqlite3.Connection,
    since: datetime | None = None,
    until: datetime | None = None,
    stream: str | None = None,
    statuses: Iterable[Status] = ("valid",),
) -> list[Entry]:
    """Entries by ascending time, delayed before early, newest revision last; both ends are inclusive."""
    sql = (
        f"SELECT {COLUMNS} FROM products WHERE status IN (SELECT value FROM json_each(?1))"
        " AND (?2 IS NULL OR time >= ?2) AND (?3 IS NULL OR time <= ?3) AND (?4 IS NULL OR stream = ?4)"
        " ORDER BY time, stream, revision"
    )
    values = (json.dumps(list(statuses)), since and stamp(since), until and stamp(until), stream)
    return [_entry(row) for row in db.execute(sql, values)]


def stamp(time: datetime) -> str:
    """As the ledger writes times."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _entry(row: sqlite3.Row) -> Entry:
    time, stream, revision, status, kind, folder, files, members, *rest = row
    at = datetime.fromisoformat(time).astimezone(UTC)
    return Entry(at, stream, revision, status, kind, folder, json.loads(files), members, *rest)
