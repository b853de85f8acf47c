"""The emulator lives in the bundle's climate, the analyses in the world's: the map between, on the emulator's grid.

    world = mean_world + alpha (bundle - mean_bundle)

so that an anomaly of one standard deviation here is one of a standard deviation there (anomaly initialisation, as of
decadal prediction): the emulator does not drift from one climate into the other while it forecasts.
"""

from datetime import datetime

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.fields import positive, regrid
from dacycle.cycler.bundle import Bundle

__all__ = ["into_bundle", "into_world"]

FloatArray = npt.NDArray[np.float32]


def into_bundle(bundle: Bundle, known: Adaptation, states: FloatArray, time: datetime) -> FloatArray:
    """The world's states (N, channels, h, w) as the emulator knows them."""
    if known.plain:
        return states
    mean, shift, scale = _parts(bundle, known, time)
    return positive(bundle, mean + (states - mean - shift) / scale)


def into_world(bundle: Bundle, known: Adaptation, states: FloatArray, time: datetime) -> FloatArray:
    """The inverse, but for humidity cut at zero."""
    if known.plain:
        return states
    mean, shift, scale = _parts(bundle, known, time)
    return positive(bundle, mean + shift + (states - mean) * scale)


def _parts(bundle: Bundle, known: Adaptation, time: datetime) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The bundle's mean and what the world's adds to it (channels, h, w), and alpha (channels, 1, 1)."""
    fields = np.stack([bundle.climatology.mean(time), bundle.climatology.std * known.shift(bundle)[..., None]])
    mean, shift = regrid(torch.as_tensor(fields), bundle.grid, bundle.coarse).numpy()
    return mean, shift, np.sqrt(known.factor("climate")).astype(np.float32)[:, None, None]
