"""Files and folders that appear whole or not at all, also through kill -9 and power loss.

A file is written under a hidden name in its own folder, flushed to disk, renamed, and the folder is flushed. The hidden
name is the writer's own: where two write one file at once, both succeed and the later one's stays.
"""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dacycle.errors import ProductError

__all__ = ["Artefact", "clear_stale", "describe", "flush", "write_atomically", "write_bytes", "write_text"]

SUFFIX = ".tmp"


@dataclass(frozen=True)
class Artefact:
    """A file on disk: where, the sha256 of its content in hexadecimal digits, its size."""

    path: Path
    sha256: str
    bytes: int


def write_atomically(path: Path, write: Callable[[Path], None]) -> Artefact:
    """Let ``write`` fill a temporary file, then make it ``path``; its folder is made where missing.

    Whatever ``write`` raises passes through, and leaves neither the temporary nor a changed ``path``; OSError (a
    full disk, a missing permission) becomes a ProductError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        flush(temporary)
        artefact = describe(temporary)
        temporary.replace(path)
        flush(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ProductError(f"cannot write {path}: {error.strerror or error}") from error
        raise
    return Artefact(path, artefact.sha256, artefact.bytes)


def write_bytes(path: Path, content: bytes) -> Artefact:
    """``content`` as a file."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    return write_atomically(path, write)


def write_text(path: Path, content: str) -> Artefact:
    """``content`` as a file in UTF-8."""
    return write_bytes(path, content.encode())


def describe(path: Path) -> Artefact:
    """Hash and size of a file as it lies on disk; OSError where it cannot be read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Artefact(path, digest, os.fstat(file.fileno()).st_size)


def flush(path: Path) -> None:
    """Force a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_stale(folder: Path) -> list[Path]:
    """Remove temporaries that a killed process left anywhere below ``folder``; call it as the only writer there."""
    stale = sorted(path for path in folder.rglob(f".*{SUFFIX}") if path.is_file())
    for path in stale:
        path.unlink(missing_ok=True)
    return stale
