"""Arrays in ``.npz`` files that appear whole or not at all."""

from pathlib import Path
from typing import Any

import numpy as np

from dacycle.cycler.products.atomic import write_atomically

__all__ = ["write_arrays"]


def write_arrays(path: Path, **arrays: Any) -> None:
    """``arrays``, or what numpy makes arrays of, under their names; errors as ``write_atomically``."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)

    write_atomically(path, write)
