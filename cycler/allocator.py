"""How glibc's allocator treats what is freed: kept for the next array while members are drawn, given back afterwards.

Left to itself it returns large blocks to the system at once and lets every thread have an arena of its own. torch takes
and frees arrays of tens of megabytes thousands of times per cycle: faulting their pages in again cost an eighth of the
time in the main thread and a sixth in another one (two million faults for four members).
"""

import ctypes
import sys

__all__ = ["ENVIRONMENT", "give_back_freed_memory", "keep_freed_memory"]

# mallopt(3): parameter, value, and the variable of mallopt's manual page that does the same from outside.
_SETTINGS = (
    (-8, 1, "MALLOC_ARENA_MAX"),
    (-1, 2**31 - 1, "MALLOC_TRIM_THRESHOLD_"),
    (-3, 2**30, "MALLOC_MMAP_THRESHOLD_"),
)
ENVIRONMENT = {name: str(value) for _, value, name in _SETTINGS}
"""For processes that are started with an environment of our making."""


def keep_freed_memory() -> bool:
    """Ask for it, before there are threads; False where there is no glibc (musl, macOS), and nothing changes."""
    if (libc := _glibc()) is None:
        return False
    outcomes = [libc.mallopt(parameter, value) for parameter, value, _ in _SETTINGS]
    return all(outcomes)


def give_back_freed_memory() -> None:
    """Return all free pages to the system now."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
