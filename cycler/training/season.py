"""The annual cycle of runs on the emulator's grid; a long run completes what a few months cannot know."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dacycle.cycler.training.coarse import EmulatorData
from dacycle.emulators.season import season_basis

__all__ = ["AnnualCycle", "annual_cycle"]

FloatArray = npt.NDArray[np.float64]
HELPER_WEIGHT = 0.5


@dataclass(frozen=True)
class AnnualCycle:
    """Least-squares fit of mean and two annual harmonics: ``coefficients`` (5, C, nlat, nlon)."""

    coefficients: FloatArray

    def departure(self, times: Sequence[datetime]) -> FloatArray:
        """How far the climate of ``times``, on average, lies from the annual mean: (C, nlat, nlon)."""
        basis = np.mean([season_basis(time) for time in times], 0)
        return np.asarray(np.tensordot(basis[1:], self.coefficients[1:], 1))


def annual_cycle(data: EmulatorData, helper: EmulatorData | None = None) -> AnnualCycle:
    """The cycle of ``data``, which should cover a year or more; else ``helper``, a run of a similar world that does,
    shares the harmonics and has a mean of its own."""
    runs = [(data, 0, 1.0)] + ([(helper, 1, HELPER_WEIGHT)] if helper is not None else [])
    normal, right = np.zeros((6, 6)), np.zeros((6, *data.states.shape[1:]))
    for run, column, weight in runs:
        basis = np.stack([season_basis(time) for time in run.times]).astype(np.float64)
        design = np.zeros((len(basis), 6))
        design[:, column], design[:, 2:] = 1.0, basis[:, 1:]
        normal += weight * design.T @ design
        for k, values in enumerate(design.astype(np.float32).T):
            right[k] += weight * np.tensordot(values, run.states, 1)
    # The ridge holds the helper's mean where there is no helper, and harmonics that too few months leave open.
    solution = np.linalg.solve(normal + 1e-6 * np.eye(6), right.reshape(6, -1)).reshape(right.shape)
    return AnnualCycle(np.asarray(solution[[0, 2, 3, 4, 5]], dtype=np.float64))
