"""Reading several files of one cycle while it may be replaced."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dacycle.errors import ProductError

__all__ = ["snapshot"]


@contextmanager
def snapshot(folder: Path) -> Iterator[Path]:
    """A path to the folder as it is now, whatever is put in its place meanwhile: all files below it are of one cycle.

    One file by its ordinary path is always whole, but two opened one after the other may be of two revisions. The
    path is that of an open folder (/proc, hence Linux), and ends with the ``with`` block. ProductError where there are
    no products.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ProductError(f"no products at {folder}: {error.strerror}") from error
    try:
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)
