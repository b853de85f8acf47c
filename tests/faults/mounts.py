"""File systems of their own for tests: small ones that fill up, and ones that turn read-only. Root does not help there.

Mounting needs a privilege; without it the tests are skipped, and fail where CI=true promises that it is there.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["filled", "read_only", "small_disk"]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size at ``folder``, in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    done = _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    if done.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no disk can be mounted, and CI=true: {done.stderr}")
        pytest.skip(f"no disk can be mounted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """The folders, in which no file is open for writing, refuse every write meanwhile, as after a disk's error."""
    mounted: list[Path] = []
    try:
        for folder in folders:
            assert _mount("--bind", str(folder), str(folder)).returncode == 0
            mounted.append(folder)
            assert _mount("-o", "remount,bind,ro", str(folder)).returncode == 0
        yield
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def filled(disk: Path, leave: int = 0) -> Iterator[None]:
    """All but ``leave`` bytes of the disk are taken meanwhile."""
    status = os.statvfs(disk)
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        for _ in range(max(status.f_bavail * status.f_frsize - leave, 0) // 4096):
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


def _mount(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
