"""The climatology of a dataset: mean and two annual harmonics per point, and the anomalies' standard deviation."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from dacycle.channels import Channel
from dacycle.cycler.assimilation.fields import regrid
from dacycle.cycler.bundle import Climatology
from dacycle.cycler.training.dataset import Dataset
from dacycle.emulators.grid import Grid
from dacycle.emulators.season import season_basis
from dacycle.emulators.spectral import Harmonics

__all__ = ["fit_climatology"]

FloatArray = npt.NDArray[np.float32]
# Degrees kept of the logarithm of the variance: the normalisation must be smooth, or it would move power between
# degrees and spoil the isotropy on which the Gaussian prior rests.
STD_DEGREES = 21
SMALLEST_STD = {"t": 0.2, "u": 0.5, "v": 0.5, "q": 1e-5, "z": 3.0, "sp": 50.0}


def fit_climatology(
    runs: Sequence[Dataset], helpers: Sequence[Dataset], channels: Sequence[Channel], helper_weight: float = 0.5
) -> Climatology:
    """Least squares per point and channel on one, cos and sin of one and two cycles a year.

    ``helpers``, longer runs on coarser grids, share the annual harmonics but have a mean of their own: their climate
    may differ, the course of their seasons helps where ``runs`` cover too few years. They weigh ``helper_weight``.
    """
    grid = runs[0].grid
    designs = [_design(run, helper=False) for run in runs] + [_design(run, helper=True) for run in helpers]
    weights = [1.0] * len(runs) + [helper_weight] * len(helpers)
    normal = sum((w * d.T @ d for w, d in zip(weights, designs, strict=True)), np.zeros((6, 6)))
    inverse = np.linalg.inv(normal + 1e-6 * np.eye(6))
    coefficients = np.empty((5, len(channels), *grid.shape), np.float32)
    std = np.empty((len(channels), *grid.shape), np.float32)
    for k, channel in enumerate(channels):
        right = np.zeros((6, *grid.shape))
        for run, design, weight in zip([*runs, *helpers], designs, weights, strict=True):
            projected = np.tensordot(design.T, run.read(channel), 1)
            if run.grid.shape != grid.shape:
                projected = regrid(torch.as_tensor(projected), run.grid, grid).numpy()
            right += weight * projected
        solution = np.tensordot(inverse, right, 1)
        coefficients[:, k] = solution[[0, 2, 3, 4, 5]]
        variance = np.zeros(grid.shape)
        for run in runs:
            basis = np.stack([season_basis(time) for time in run.times])
            variance += np.square(run.read(channel) - np.tensordot(basis, coefficients[:, k], 1)).sum(0)
        variance /= sum(len(run.times) for run in runs)
        std[k] = _smooth(variance, grid, SMALLEST_STD[channel.variable] ** 2)
    return Climatology(coefficients, std)


def _design(run: Dataset, helper: bool) -> npt.NDArray[np.float64]:
    """(times, 6): mean of the runs, mean of the helpers, four harmonics."""
    basis = np.stack([season_basis(time) for time in run.times]).astype(np.float64)
    design = np.zeros((len(basis), 6))
    design[:, int(helper)] = 1.0
    design[:, 2:] = basis[:, 1:]
    return design


def _smooth(variance: npt.NDArray[np.float64], grid: Grid, floor: float) -> FloatArray:
    harmonics = Harmonics(grid, min(STD_DEGREES, grid.shape[0]))
    logarithm = torch.as_tensor(np.log(np.maximum(variance, floor)), dtype=torch.float32)
    smooth = harmonics.synthesise(harmonics.analyse(logarithm))
    return np.asarray(smooth.div(2).exp().numpy(), dtype=np.float32)
