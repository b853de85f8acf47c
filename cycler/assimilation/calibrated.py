"""What a forecast is taken for: the mean of the truth given it, E[x | f], degree by degree of the prior's variables."""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.fields import harmonics_on
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.spectral import Harmonics

__all__ = ["blend", "calibrated"]


def calibrated(world: Bundle, balance: Balance | None, anomaly: Tensor, local: Tensor | None = None) -> Tensor:
    """E[x | f] (channels, nlat, nlon) for a mean forecast f on the analysis grid, both anomalies of the ``world``'s
    climatology over its standard deviation: slope f, or with ``local`` weights u (nodes, nlat, nlon) sum u_n slope_n f.

    ``balance``: between x and the prior's variables, where these are others.
    """
    slopes, weights = world.forecast_slope[None], torch.ones(1, 1, 1)
    if local is not None and world.local_slope is not None:
        slopes, weights = world.local_slope, local
    x = anomaly[None]
    y = x if balance is None else balance.control(x)
    blended = blend(harmonics_on(*world.grid.shape, slopes.shape[1]), torch.as_tensor(slopes), weights, y[0])[None]
    return (blended if balance is None else balance.state(blended))[0]


def blend(harmonics: Harmonics, slopes: Tensor, weights: Tensor, forecast: Tensor) -> Tensor:
    """sum u_n slope_n f (channels, nlat, nlon), in the prior's variables, of the degrees of ``harmonics``."""
    a = harmonics.analyse(forecast)
    of_nodes = harmonics.synthesise(torch.einsum("nkcd,dk->nck", slopes[:, harmonics.degree], a))
    return (weights[:, None] * of_nodes).sum(0)
