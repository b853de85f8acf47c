"""How much a climate varies in one season against another, by channel and latitude.

A bundle's standard deviation is of the whole year. Where soundings are, in the north, winter is windier and drier than
that; what innovations say of the world's variance has to be read against the season's (``assimilation/adapt.py``).
"""

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.training.coarse import EmulatorData
from dacycle.cycler.training.season import annual_cycle
from dacycle.cycler.training.smoothing import smoothed
from dacycle.emulators.grid import Grid
from dacycle.emulators.season import season_basis

__all__ = ["seasonal_variance"]

SMOOTHINGS = 2  # of 32 latitudes


def seasonal_variance(data: EmulatorData, grid: Grid) -> npt.NDArray[np.float32]:
    """Coefficients (4, channels, nlat) on ``grid``: cosine and sine of one and two cycles a year, of the variance over
    the year's mean. ``data``: a run of some years.

    Anomalies are from the run's own annual cycle, in units of their standard deviation at each point.
    """
    cycle = annual_cycle(data).coefficients.astype(np.float32)
    bases = np.stack([season_basis(time) for time in data.times])
    sums = np.zeros((5, *data.states.shape[1:]))
    for state, basis in zip(data.states, bases, strict=True):
        square = np.square(state - np.tensordot(basis, cycle, 1))
        sums += basis[:, None, None, None] * square
    right = (sums / sums[0]).mean(-1)  # the first of the basis is one: its sum is the point's variance
    fitted = np.linalg.solve(bases.T @ bases, right.reshape(5, -1)).reshape(right.shape)
    relative = torch.as_tensor(fitted[1:] / fitted[:1]).flatten(0, 1)
    rows = smoothed(relative, SMOOTHINGS).numpy().reshape(4, *right.shape[1:])
    fine = [[np.interp(grid.lat[::-1], data.grid.lat[::-1], row[::-1])[::-1] for row in term] for term in rows]
    return np.asarray(fine, dtype=np.float32)
