"""A folder that copies a server's files: each whole or not at all, with a note of which version it is."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dacycle.errors import SourceError
from dacycle.obs.igra.transfer import Validators

__all__ = ["Mirror", "Note"]

NOTES = "mirror.json"
PARTIAL = ".partial"


@dataclass(frozen=True)
class Note:
    """The version of a mirrored file: date and size as listed, the server's validators, our size."""

    listed: str
    etag: str
    last_modified: str
    size: int

    @property
    def validators(self) -> Validators:
        """What a conditional request needs."""
        return Validators(self.etag, self.last_modified)


class Mirror:
    """Files below ``root``, in the server's layout, and the notes on their versions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._notes = self._read()

    def note(self, name: str) -> Note | None:
        """The note on a file that is there as noted; None where it has to be fetched anew."""
        note = self._notes.get(name)
        try:
            size = (self.root / name).stat().st_size
        except OSError:
            return None
        return note if note is not None and note.size == size else None

    def keep(self, name: str, content: bytes, listed: str, validators: Validators) -> None:
        """Put ``content`` in the place of ``name``: old or new, never between; the same content changes nothing."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _same(path, content):
            _replace(path, content)
        self._notes[name] = Note(listed, validators.etag, validators.last_modified, len(content))

    def confirm(self, name: str, listed: str) -> None:
        """The server says that the file is still the newest, under this date and size."""
        note = self._notes[name]
        self._notes[name] = Note(listed, note.etag, note.last_modified, note.size)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within, files may be kept; afterwards the notes are saved, whatever happened. What a crash left is removed.

        SourceError where the disk refuses: an operator has to act, not this file alone.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for leftover in self.root.rglob(f".*{PARTIAL}"):
                leftover.unlink(missing_ok=True)
            try:
                yield
            finally:
                notes = {name: asdict(note) for name, note in sorted(self._notes.items())}
                _replace(self.root / NOTES, json.dumps(notes, indent=0).encode())
        except OSError as error:
            raise SourceError(
                f"mirror {self.root}: cannot write ({error.strerror}): free or repair the disk"
            ) from error

    def _read(self) -> dict[str, Note]:
        """The notes; unreadable ones are none, and the files are asked for once more."""
        try:
            return {name: Note(**note) for name, note in json.loads((self.root / NOTES).read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _same(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def _replace(path: Path, content: bytes) -> None:
    """Write beside ``path``, flush to the disk, rename, flush the folder."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
