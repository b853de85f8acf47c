"""What the soundings changed: the analysis mean minus the lifted forecast's, in 16 bits, for the status page's map."""

import numpy as np
import numpy.typing as npt

__all__ = ["INCREMENT", "packed", "unpacked"]

INCREMENT = "increment.npz"
"""The file that a cycle keeps it in."""
MAXIMUM = 32767


def packed(increment: npt.NDArray[np.floating]) -> dict[str, npt.NDArray[np.generic]]:
    """(channels, nlat, nlon) scaled per channel by its largest magnitude: off by at most a 65534th of that."""
    scale = np.maximum(np.abs(increment).max((1, 2)), np.float32(1e-30)).astype(np.float32)
    return {"scale": scale, "packed": np.rint(increment / scale[:, None, None] * MAXIMUM).astype(np.int16)}


def unpacked(arrays: dict[str, npt.NDArray[np.generic]], channel: int) -> npt.NDArray[np.float32]:
    """One channel (nlat, nlon) of what ``packed`` gave."""
    scale = np.float32(arrays["scale"][channel]) / np.float32(MAXIMUM)
    return np.asarray(arrays["packed"][channel].astype(np.float32) * scale)
