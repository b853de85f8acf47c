"""The balance between heights and winds, by regression on training frames, place by place."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance, balanced, differences
from dacycle.cycler.assimilation.prior import DiffusionPrior
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


def fit_balance(
    frames: Frames, grid: Grid, channels: Sequence[str], std: npt.NDArray[np.float32], stride: int = 8
) -> Balance:
    """From every ``stride``-th frame: a and b by least squares per wind and place, n from what is left."""
    s, coefficients, spread = torch.as_tensor(std), [], []
    harmonics = Harmonics(grid, min(*grid.shape, grid.shape[1] // 2))
    parts = torch.split(frames.values[::stride], BATCH)
    for wind, height in balanced(channels):
        w, z = channels.index(wind), channels.index(height)
        ee, en, nn, eu, nu = torch.zeros(5, *grid.shape)
        for x in parts:
            (east, north), own = differences(x[:, z].float() * s[z]), x[:, w].float() * s[w]
            for sum_, product in (
                (ee, east**2),
                (en, east * north),
                (nn, north**2),
                (eu, east * own),
                (nu, north * own),
            ):
                sum_ += product.sum(0)
        # Differences are of another size in every row: smoothing is of what is comparable.
        e, o = (each.mean(1, keepdim=True).sqrt() for each in (ee, nn))
        sizes = (e * e, e * o, o * o, e, o)
        ee, en, nn, eu, nu = (
            _smoothed(harmonics, each / size, REGRESSION_KM) * size
            for each, size in zip((ee, en, nn, eu, nu), sizes, strict=True)
        )
        determinant = ee * nn - en**2
        a, b = (eu * nn - nu * en) / determinant, (nu * ee - eu * en) / determinant
        left = torch.zeros(grid.shape)
        for x in parts:
            east, north = differences(x[:, z].float() * s[z])
            left += (x[:, w].float() - (a * east + b * north) / s[w]).square().sum(0)
        coefficients.append(torch.stack([a, b]))
        spread.append(_smoothed(harmonics, left / sum(map(len, parts)), SPREAD_KM).clamp_min(SMALLEST_SPREAD**2).sqrt())
    # To 16 bits, as the bundle keeps them.
    return Balance(channels, std, torch.stack(coefficients).half(), torch.stack(spread).half())


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
