"""Arrays in ``.npz`` files that appear whole or not at all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dacycle.cycler.products.atomic import write_atomically
from dacycle.errors import DacycleError

__all__ = ["read_arrays", "write_arrays"]


def write_arrays(path: Path, **arrays: Any) -> None:
    """``arrays``, or what numpy makes arrays of, under their names; errors as ``write_atomically``."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)

    write_atomically(path, write)


def read_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray[Any, Any]]:
    """The arrays of those ``names``; DacycleError where an earlier version wrote the file, which kept less."""
    with np.load(path, allow_pickle=False) as file:
        if lacking := [name for name in names if name not in file]:
            told = f"{path}: lacks {', '.join(lacking)}, as an earlier version wrote it"
            raise DacycleError(f"{told}; remove {path.parent} and give the command again")
        return [file[name] for name in names]
