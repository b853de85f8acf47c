"""The balance between heights and winds, by regression on training frames, place by place."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance, balanced, differences
from dacycle.cycler.assimilation.prior import DiffusionPrior
from dacycle.cycler.assimilation.smoothing import Smoothing
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.dataset import Dataset
from dacycle.cycler.training.frames import Frames, load_frames
from dacycle.emulators.grid import Grid
from dacycle.emulators.spectral import Harmonics

__all__ = ["fit_balance", "in_control", "load_known"]

BATCH = 16
REGRESSION_KM, SPREAD_KM = 300.0, 500.0
"""Standard deviations of the Gaussians that moments are smoothed with: coasts and mountains are sharp, samples few."""
SMALLEST_SPREAD = 0.05
ROUNDS, LARGE = 3, 8  # degrees below an eighth of all


def fit_balance(
    frames: Frames, grid: Grid, channels: Sequence[str], std: npt.NDArray[np.float32], degrees: int, stride: int = 8
) -> Balance:
    """From every ``stride``-th frame: a and b by least squares per wind and place; what is kept of ``degrees`` of the
    heights, so that winds follow each as far as it explains them; n from what is left.

    What is kept and how winds follow it are found in turn, from heights as they are on.
    """
    states, kept = frames.values[::stride], torch.ones(2, degrees)
    for _ in range(ROUNDS):
        fit = _Fit(states, grid, channels, std, kept)
        kept = kept * fit.slopes()
        # Of large scales all is kept: how winds follow them is for the coefficients to say.
        large = kept[:, 1 : max(degrees // LARGE, 2)].mean(1, keepdim=True)
        kept = (kept / large).clamp(0.0, 1.0)
    return _Fit(states, grid, channels, std, kept).balance()


class _Fit:
    """Coefficients of winds by regression on heights of which so much is ``kept`` (2, degrees)."""

    def __init__(
        self, states: Tensor, grid: Grid, channels: Sequence[str], std: npt.NDArray[np.float32], kept: Tensor
    ) -> None:
        self._parts, self._channels, self._std = torch.split(states, BATCH), channels, std
        self._smoothing = Smoothing(grid, kept.half())  # as the bundle keeps it, in 16 bits
        self._harmonics = Harmonics(grid, min(*grid.shape, grid.shape[1] // 2))
        s = torch.as_tensor(std)
        pairs = [(channels.index(w), channels.index(z)) for w, z in balanced(channels)]
        moments = torch.zeros(len(pairs), 5, *grid.shape)
        for part in self._parts:
            x = part.float()
            for total, (w, z) in zip(moments, pairs, strict=True):
                (east, north), own = differences(self._smoothing(x[:, z]) * s[z]), x[:, w] * s[w]
                products = (east**2, east * north, north**2, east * own, north * own)
                total += torch.stack([product.sum(0) for product in products])
        self.coefficients = torch.stack([self._regression(each) for each in moments]).half().float()

    def _regression(self, moments: Tensor) -> Tensor:
        """a and b (2, nlat, nlon) from the moments of one wind, smoothed in space."""
        ee, _, nn, _, _ = moments
        # Differences are of another size in every row: smoothing is of what is comparable.
        e, o = (each.mean(1, keepdim=True).sqrt() for each in (ee, nn))
        sizes = (e * e, e * o, o * o, e, o)
        ee, en, nn, eu, nu = (
            _smoothed(self._harmonics, each / size, REGRESSION_KM) * size
            for each, size in zip(moments, sizes, strict=True)
        )
        determinant = ee * nn - en**2
        return torch.stack([(eu * nn - nu * en) / determinant, (nu * ee - eu * en) / determinant])

    def slopes(self) -> Tensor:
        """(2, degrees): how much of a degree of what they should follow winds do follow, in the tropics and beyond, all
        winds together."""
        given, harmonics = self._with(torch.ones(())), self._smoothing.harmonics
        shared, own = torch.zeros(2, 2, harmonics.lmax)
        for part in self._parts:
            x = part.float()
            winds = x[:, given.winds]
            followed = winds - given.control(x)[:, given.winds]
            for k, belongs in enumerate(self._smoothing.belongs):
                f, w = (harmonics.analyse(each * belongs) for each in (followed, winds))
                shared[k].index_add_(0, harmonics.degree, (f * w).sum((0, 1)))
                own[k].index_add_(0, harmonics.degree, f.square().sum((0, 1)))
        slopes: Tensor = shared / own.clamp_min(1e-12)
        return slopes

    def balance(self) -> Balance:
        """With the standard deviation of what is left."""
        left, unit = torch.zeros_like(self.coefficients[:, 0]), self._with(torch.ones(()))
        for part in self._parts:
            left += unit.control(part.float())[:, unit.winds].square().sum(0)
        mean = _smoothed(self._harmonics, left / sum(map(len, self._parts)), SPREAD_KM)
        return self._with(mean.clamp_min(SMALLEST_SPREAD**2).sqrt().half())

    def _with(self, spread: Tensor) -> Balance:
        shape = self.coefficients[:, 0].shape
        return Balance(self._channels, self._std, self.coefficients, spread.expand(shape), self._smoothing)


def in_control(frames: Frames, balance: Balance) -> Frames:
    """The same in control variables; the frames' own memory is used for them."""
    for x in torch.split(frames.values, BATCH):
        x.copy_(balance.control(x.float()))
    return frames


def load_known(data: Dataset, bundle: Bundle, prior: DiffusionPrior, frames: slice) -> Frames:
    """``frames`` of a run as what the bundle's ``prior`` knows: control variables, or anomalies where it has none."""
    states = load_frames(data, bundle.channels, bundle.climatology, frames)
    return states if prior.balance is None else in_control(states, prior.balance)


def _smoothed(harmonics: Harmonics, field: Tensor, length_km: float) -> Tensor:
    """A field (nlat, nlon) smoothed by a Gaussian."""
    return harmonics.synthesise(harmonics.analyse(field) * harmonics.smoothing(length_km))
