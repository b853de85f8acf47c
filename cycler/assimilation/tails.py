"""Members that are published have tails as long as errors have.

How wrong an analysis is in a place is known on average only. Errors whose variance scatters around the expected one
have longer tails than a Gaussian of the mean variance, so that among Gaussian members of the right variance the truth
lies in the middle too often. Members that are exchangeable with the truth need the same tails: each antithetic pair
has a factor of its own on its departures from the ensemble mean,

    q = exp(t g - t^2),

with a smooth random field g of unit variance and the channel's t (``Bundle.error_tails``, found by
``training/error_tails.py``). The mean square of q is one, and departures are centred again: mean and variance stay.

What is cycled are the members as they were drawn: in the next forecast the random factors would drown what the
members' spread says of places (docs/methods.md).
"""

from datetime import datetime

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.assimilation.fields import harmonics_on, positive
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import Grid

__all__ = ["smooth_fields", "with_tails", "with_tails_of"]

FloatArray = npt.NDArray[np.float32]
LENGTH_KM = 1000.0
"""Of the field's Gaussian correlation: long against the balance between the channels, short against the globe."""
MOST_DEGREES = 32  # fields of that length have nothing beyond
STREAM = 1  # of a member's random numbers: others than those that it was drawn with


def with_tails(bundle: Bundle, states: FloatArray, time: datetime, seed: int) -> FloatArray:
    """Members 1 to N as they are published, for ``states`` (N, channels, nlat, nlon) as drawn; physical units.

    Alike for the same seed and time. ``states`` themselves where nobody has measured the bundle's ``error_tails``.
    """
    if bundle.error_tails is None or len(states) < 2:
        return states
    of_pairs = smooth_fields(bundle.grid, time, seed, (len(states) + 1) // 2)
    return positive(bundle, with_tails_of(bundle.error_tails[:, None, None], states, of_pairs[:, None]))


def with_tails_of(tails: FloatArray, states: FloatArray, of_pairs: FloatArray) -> FloatArray:
    """``states`` (N, channels, ...) about their mean, with departures times q; ``tails`` t (channels, ...) and
    ``of_pairs`` g (pairs, channels, ...), broadcast. Members 1 and 2, 3 and 4, ... have the same q."""
    mean = states.mean(0)
    q = np.exp(tails * of_pairs - np.square(tails))
    departures = (states - mean) * np.repeat(q, 2, axis=0)[: len(states)]
    return np.asarray(mean + (departures - departures.mean(0)), dtype=states.dtype)


def smooth_fields(grid: Grid, time: datetime, seed: int, pairs: int) -> FloatArray:
    """Gaussian random fields g (pairs, nlat, nlon) of unit variance, their correlation exp(-d^2 / (2 LENGTH_KM^2))."""
    harmonics = harmonics_on(*grid.shape, min(MOST_DEGREES, *grid.shape))
    power = harmonics.smoothing(LENGTH_KM)
    power = 4 * torch.pi * power / power.sum()
    noises = [MemberNoise(seed, time, 2 * pair + 1, STREAM) for pair in range(pairs)]
    white = torch.stack([noise.draw((len(power),)) for noise in noises])
    return np.asarray(harmonics.synthesise(power.sqrt() * white).numpy())
