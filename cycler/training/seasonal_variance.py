"""How much a climate varies in one season against another, by channel and place.

A bundle's standard deviation is of the whole year. Where soundings are, on the continents of the north, winter is
windier and much drier than that; what innovations say of the world's variance has to be read against the season's
(``assimilation/adapt.py``).
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.fields import harmonics_on
from dacycle.cycler.training.coarse import EmulatorData
from dacycle.cycler.training.season import annual_cycle
from dacycle.emulators.season import season_basis

__all__ = ["seasonal_variance"]

SMOOTHING_KM = (
    400.0  # two years have some forty independent states of a season: a place's own variance is known to 20 %
)


def seasonal_variance(data: EmulatorData) -> npt.NDArray[np.float32]:
    """Coefficients (4, channels, h, w): cosine and sine of one and two cycles a year, of the variance over the year's
    mean. ``data``: a run of some years, on the emulator's grid.

    Anomalies are from the run's own annual cycle, in units of their standard deviation at each point.
    """
    cycle = annual_cycle(data).coefficients.astype(np.float32)
    bases = np.stack([season_basis(time) for time in data.times])
    sums = np.zeros((5, *data.states.shape[1:]))
    for state, basis in zip(data.states, bases, strict=True):
        square = np.square(state - np.tensordot(basis, cycle, 1))
        sums += basis[:, None, None, None] * square
    right = sums / sums[0]  # the first of the basis is one: its sum is the point's variance
    fitted = np.linalg.solve(bases.T @ bases, right.reshape(5, -1)).reshape(right.shape)
    harmonics = harmonics_on(*data.grid.shape, data.grid.shape[0])
    relative = torch.as_tensor(fitted[1:] / fitted[:1], dtype=torch.float32)
    smooth: Tensor = harmonics.synthesise(harmonics.analyse(relative) * harmonics.smoothing(SMOOTHING_KM))
    return np.asarray(smooth.numpy(), dtype=np.float32)
