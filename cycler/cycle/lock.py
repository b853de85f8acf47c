"""One writer per state directory."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dacycle.errors import StateError

__all__ = ["InUseError", "exclusive"]

LOCK_NAME = "lock"


class InUseError(StateError):
    """Another process holds the state directory."""


@contextmanager
def exclusive(state: Path) -> Iterator[None]:
    """Hold the state directory; InUseError at once where another process holds it.

    The kernel lets go of the lock when the process ends, however it ends.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        handle = os.open(state / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StateError(f"state directory {state} cannot be used: {error}; set [paths] state") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 64, 0).decode(errors="replace").strip() or "unknown"
            raise InUseError(
                f"state directory {state} is in use by another dacycle (process {holder}); one at a time"
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only its text is old
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
