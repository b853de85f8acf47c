"""Statistics of the attractor from six-hourly states: climate of the date, covariance of the anomalies per degree."""

import numpy as np
import torch

from dacycle.cycler.training.coarse import EmulatorData
from dacycle.cycler.training.season import annual_cycle
from dacycle.emulators.attractor import AttractorStatistics, cells
from dacycle.emulators.lucie import Statistics
from dacycle.emulators.season import season_basis
from dacycle.emulators.spectral import Harmonics

__all__ = ["fit_attractor"]

BATCH = 64
NEIGHBOURS = 1  # degrees on either side that lend their samples
SMALLEST_SHARE = 1e-6  # of a degree's largest variance


def fit_attractor(data: EmulatorData, statistics: Statistics, year: EmulatorData | None = None) -> AttractorStatistics:
    """In the standardisation of ``statistics``. ``year``: a run over all seasons, where ``data`` covers a part only."""
    cycle = annual_cycle(data, year).coefficients
    std = statistics.std.numpy().astype(np.float64)
    climate = cycle / std
    climate[0] -= statistics.mean.numpy() / std
    degrees, channels = min(data.grid.shape[0], data.grid.shape[1] // 2), len(data.channels)
    harmonics = Harmonics(data.grid, degrees)
    products = torch.zeros(degrees, channels, channels, dtype=torch.float64)
    parts = []
    for first in range(0, len(data.times), BATCH):
        part = slice(first, first + BATCH)
        basis = np.stack([season_basis(time) for time in data.times[part]])
        anomaly = (data.states[part] - np.tensordot(basis, cycle, 1)) / std
        a = harmonics.analyse(torch.from_numpy(anomaly).float())
        products.index_add_(0, harmonics.degree, torch.einsum("tck,tdk->kcd", a, a).double())
        parts.append(a)
    modes = (2.0 * torch.arange(degrees) + 1) * len(data.times)
    covariance = torch.stack([_pooled(products, modes, degree) for degree in range(degrees)])
    values, vectors = torch.linalg.eigh(covariance)
    along = [torch.einsum("kcd,nck->ndk", vectors.float()[harmonics.degree], a).square().sum(0) for a in parts]
    variances = _of_cells(torch.stack(along).sum(0) / len(data.times), cells(degrees))
    floor = SMALLEST_SHARE * values[harmonics.degree, -1]
    return AttractorStatistics(torch.from_numpy(climate).float(), vectors.float(), variances.maximum(floor.float()))


def _of_cells(squares: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
    """Means over the cells, for each coefficient (C, degrees^2): single ones have too few independent samples."""
    total = squares.new_zeros(len(squares), int(cell.max()) + 1).index_add_(1, cell, squares)
    return (total / torch.bincount(cell))[:, cell]


def _pooled(products: torch.Tensor, modes: torch.Tensor, degree: int) -> torch.Tensor:
    """Mean over a degree and its neighbours; the lowest degrees, too different from each other, stand alone."""
    near = NEIGHBOURS if degree > 2 * NEIGHBOURS else 0
    part = slice(degree - near, degree + near + 1)
    return products[part].sum(0) / modes[part].sum()
