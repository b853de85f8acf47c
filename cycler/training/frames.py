"""Training frames of the prior: normalised anomalies in memory, and their covariance per degree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dacycle.channels import Channel
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.prior import season_features
from dacycle.cycler.bundle import Climatology
from dacycle.cycler.training.dataset import Dataset
from dacycle.emulators.grid import Grid
from dacycle.emulators.season import season_basis

__all__ = ["Frames", "batches", "estimate_gaussian", "join", "load_frames", "thinned"]


@dataclass(frozen=True)
class Frames:
    """``values`` (T, channels, nlat, nlon) float16, anomalies over standard deviation; ``season`` (T, 4)."""

    values: Tensor
    season: Tensor

    def __len__(self) -> int:
        return len(self.values)


def load_frames(
    run: Dataset, channels: Sequence[Channel], climatology: Climatology, frames: slice = slice(None)
) -> Frames:
    """Frames of one run. Half precision keeps a year in memory; its step is below the packing's."""
    times = run.times[frames]
    basis = np.stack([season_basis(time) for time in times])
    values = torch.empty(len(times), len(channels), *run.grid.shape, dtype=torch.float16)
    for k, channel in enumerate(channels):
        anomaly = run.read(channel, frames) - np.tensordot(basis, climatology.coefficients[:, k], 1)
        values[:, k] = torch.from_numpy(anomaly / climatology.std[k]).half()
    return Frames(values, torch.stack([season_features(time) for time in times]))


def join(parts: Sequence[Frames]) -> Frames:
    """All frames of several runs."""
    return Frames(torch.cat([p.values for p in parts]), torch.cat([p.season for p in parts]))


def batches(frames: Frames, size: int, device: torch.device | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Values, in single precision, and seasons of ``size`` frames after the other, on ``device`` if given."""
    for values, season in zip(torch.split(frames.values, size), torch.split(frames.season, size), strict=True):
        yield values.to(device).float(), season.to(device)


def thinned(frames: Frames, count: int) -> Frames:
    """At most ``count`` of them, evenly spread."""
    chosen = torch.linspace(0, len(frames) - 1, min(count, len(frames))).long()
    return Frames(frames.values[chosen], frames.season[chosen])


def estimate_gaussian(frames: Frames, grid: Grid, lmax: int, stride: int = 4, shrink: float = 0.02) -> GaussianPrior:
    """Covariance of all channels per degree, and the variance beyond ``lmax``, from every ``stride``-th frame.

    Off-diagonal elements are shrunk by ``shrink``: at the lowest degrees few independent samples stand behind them.
    """
    n = frames.values.shape[1]
    blank = GaussianPrior(grid, torch.zeros(lmax, n, n), torch.zeros(n))
    total, rest, count = torch.zeros(lmax, n, n, dtype=torch.float64), torch.zeros(n), 0
    degree = blank.harmonics.degree
    for start in range(0, len(frames), 16 * stride):
        x = frames.values[start : start + 16 * stride : stride].float()
        a = blank.analyse(x)
        rest += ((x - blank.synthesise(a)).square().mean(-1) * blank.weights[:, 0]).mean(-1).sum(0)
        products = torch.einsum("tck,tdk->kcd", a, a).double()
        total.index_add_(0, degree, products)
        count += len(x)
    covariance = total / count / (2 * torch.arange(lmax) + 1)[:, None, None]
    kept = torch.full((n, n), 1 - shrink, dtype=torch.float64)
    kept.fill_diagonal_(1.0)
    return GaussianPrior(grid, (covariance * kept).float(), rest / count)
