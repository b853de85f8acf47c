"""The annual cycle of a long run, to complete what a run of a few months cannot know of its own climate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dacycle.cycler.bundle import season_basis
from dacycle.cycler.training.coarse import EmulatorData

__all__ = ["AnnualCycle", "annual_cycle"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AnnualCycle:
    """Least-squares fit of mean and two annual harmonics: ``coefficients`` (5, C, nlat, nlon)."""

    coefficients: FloatArray

    def departure(self, times: Sequence[datetime]) -> FloatArray:
        """How far the climate of ``times``, on average, lies from the annual mean: (C, nlat, nlon)."""
        basis = np.mean([season_basis(time) for time in times], 0)
        return np.asarray(np.tensordot(basis[1:], self.coefficients[1:], 1))


def annual_cycle(data: EmulatorData) -> AnnualCycle:
    """The cycle of ``data``, which should cover a year or more."""
    basis = np.stack([season_basis(time) for time in data.times]).astype(np.float64)
    moments = np.stack([np.tensordot(column.astype(np.float32), data.states, 1) for column in basis.T])
    coefficients = np.linalg.solve(basis.T @ basis, moments.reshape(basis.shape[1], -1).astype(np.float64))
    return AnnualCycle(np.asarray(coefficients.reshape(moments.shape), dtype=np.float64))
