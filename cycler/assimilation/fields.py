"""Between the analysis grid, the emulator's grid and the stations. Numpy in, numpy out; physical units."""

from datetime import datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import Grid, bilinear, gaussian_grid
from dacycle.emulators.spectral import Harmonics
from dacycle.obs.batch import ObservationBatch

__all__ = ["coarsen", "harmonics_on", "lift", "observe", "positive", "regrid"]

FloatArray = npt.NDArray[np.float32]
CPU = torch.device("cpu")


@lru_cache(maxsize=8)
def harmonics_on(nlat: int, nlon: int, lmax: int, device: torch.device = CPU) -> Harmonics:
    """Those of a Gaussian grid, made once."""
    return Harmonics(gaussian_grid(nlat, nlon), lmax).to(device)


def regrid(fields: Tensor, source: Grid, target: Grid) -> Tensor:
    """Spectral truncation or interpolation of (..., nlat, nlon): the degrees that both Gaussian grids resolve."""
    lmax = min(*source.shape, *target.shape, source.shape[1] // 2, target.shape[1] // 2)
    coefficients = harmonics_on(*source.shape, lmax).analyse(fields)
    return harmonics_on(*target.shape, lmax).synthesise(coefficients)


def coarsen(bundle: Bundle, states: FloatArray) -> FloatArray:
    """Analyses (..., channels, nlat, nlon) truncated spectrally to the emulator's grid; humidity not below zero."""
    return positive(bundle, regrid(torch.as_tensor(states), bundle.grid, bundle.coarse).numpy())


def lift(bundle: Bundle, forecast: FloatArray, time: datetime) -> FloatArray:
    """The emulator's states (..., channels, h, w) on the analysis grid: its anomalies upon the climatology there.

    The climatology brings what the emulator's grid cannot resolve and the calendar knows, such as coasts and mountains.
    """
    climatology = torch.as_tensor(bundle.climatology.mean(time))
    anomaly = torch.as_tensor(forecast) - regrid(climatology, bundle.grid, bundle.coarse)
    return positive(bundle, (climatology + regrid(anomaly, bundle.coarse, bundle.grid)).numpy())


def positive(bundle: Bundle, states: FloatArray) -> FloatArray:
    """``states`` (..., channels, nlat, nlon) themselves, humidity cut off below zero."""
    humidity = [k for k, c in enumerate(bundle.channels) if c.variable == "q"]
    states[..., humidity, :, :] = np.maximum(states[..., humidity, :, :], 0.0)
    return states


def observe(bundle: Bundle, states: FloatArray, batch: ObservationBatch) -> FloatArray:
    """Equivalents (members, n) of ``batch``'s values in states (members, channels, nlat, nlon), bilinear.

    NaN where the bundle lacks the channel.
    """
    names = [c.name for c in bundle.channels]
    position = np.array([names.index(name) if name in names else -1 for name in batch.channel], dtype=np.int64)
    corners, weights = bilinear(bundle.grid, batch.lat, batch.lon)
    flat = states.reshape(*states.shape[:2], -1)
    values = (flat[:, position[:, None], corners] * weights).sum(-1)
    return np.where(position >= 0, values, np.nan).astype(np.float32)
