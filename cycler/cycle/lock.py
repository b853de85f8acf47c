"""One writer per state directory."""

import contextlib
import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dacycle.errors import StateError

__all__ = ["InUseError", "exclusive", "foreign_owner", "holder", "require_own"]

LOCK_NAME = "lock"


class InUseError(StateError):
    """Another process holds the state directory."""


@contextmanager
def exclusive(state: Path) -> Iterator[None]:
    """Hold the state directory; InUseError at once where another process holds it.

    The kernel lets go of the lock when the process ends, however it ends. StateError as ``require_own`` has it, and
    where the folder cannot be written to.
    """
    if (process := holder(state)) is not None:
        raise _in_use(state, process)
    require_own(state)
    try:
        state.mkdir(parents=True, exist_ok=True)
        handle = os.open(state / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StateError(f"state directory {state} cannot be used: {error}; set [paths] state") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _in_use(state, _told(handle)) from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only its text is old
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(state: Path) -> str | None:
    """The process that holds the state directory, or None; looks without leaving anything there."""
    try:
        handle = os.open(state / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nobody has begun there, or nobody of whom we may know
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _told(handle)
    finally:
        os.close(handle)
    return None


def require_own(state: Path) -> None:
    """StateError for a folder of another user's that we may not write to, or as root may: what root makes there, its
    owner could not write to."""
    owner = foreign_owner(state)
    if owner is not None and (os.geteuid() == 0 or not os.access(state, os.W_OK | os.X_OK)):
        mend = f"run this as {owner} (`runuser -u {owner} -- dacycle ...`), or set [paths] state"
        raise StateError(f"state directory {state} belongs to {owner}: {mend}")


def foreign_owner(state: Path) -> str | None:
    """Whose the folder is, where it is there and not ours: a name, or a number that has none."""
    try:
        owner = state.stat().st_uid
    except OSError:
        return None
    if owner == os.geteuid():
        return None
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)


def _told(handle: int) -> str:
    return os.pread(handle, 64, 0).decode(errors="replace").strip() or "unknown"


def _in_use(state: Path, process: str) -> InUseError:
    return InUseError(f"state directory {state} is in use by another dacycle (process {process}); one at a time")
