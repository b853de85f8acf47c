"""Two folders change places at once, so that a name always leads to a complete folder."""

import ctypes
import errno
import os
from pathlib import Path

from dacycle.cycler.products.atomic import flush

__all__ = ["exchange", "undo_exchange"]

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # linux/fs.h
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(new: Path, current: Path) -> None:
    """``current`` becomes what ``new`` was and the reverse; both lie in one folder.

    One system call (renameat2 of Linux). File systems without it, network ones mostly, get three renames, between
    which ``current`` is absent for a moment but never mixed; ``undo_exchange`` mends a death in between.
    """
    if not _rename_exchange(new, current):
        current.rename(_aside(new))
        new.rename(current)
        _aside(new).rename(new)
    flush(current.parent)


def undo_exchange(new: Path, current: Path) -> None:
    """After a death inside ``exchange``: back to before it, or on to its end. Harmless otherwise."""
    aside = _aside(new)
    if not aside.exists():
        return
    aside.rename(new if current.exists() else current)
    flush(current.parent)


def _aside(new: Path) -> Path:
    return new.with_name(f"{new.name}.aside")


def _rename_exchange(new: Path, current: Path) -> bool:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    if function(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(current), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(current))
