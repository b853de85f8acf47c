"""What a forecast is taken for: the mean of the truth given it, E[x | f], degree by degree of the prior's variables."""

from functools import lru_cache

import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.spectral import Harmonics

__all__ = ["calibrated"]


def calibrated(world: Bundle, balance: Balance | None, anomaly: Tensor, local: Tensor | None = None) -> Tensor:
    """E[x | f] (channels, nlat, nlon) for a mean forecast f on the analysis grid, both anomalies of the ``world``'s
    climatology over its standard deviation: slope f, or with ``local`` weights u (nodes, nlat, nlon) sum u_n slope_n f.

    ``balance``: between x and the prior's variables, where these are others.
    """
    slopes, weights = world.forecast_slope[None], [torch.ones(())]
    if local is not None and world.local_slope is not None:
        slopes, weights = world.local_slope, list(local)
    harmonics = _harmonics(*world.grid.shape, slopes.shape[1])
    x = anomaly[None]
    a = harmonics.analyse(x if balance is None else balance.control(x))
    of_nodes = torch.einsum("nkcd,mdk->nck", torch.as_tensor(slopes)[:, harmonics.degree], a)
    parts = zip(weights, harmonics.synthesise(of_nodes), strict=True)
    blended = sum((weight * part for weight, part in parts), torch.zeros(()))[None]
    return (blended if balance is None else balance.state(blended))[0]


@lru_cache(maxsize=2)
def _harmonics(nlat: int, nlon: int, degrees: int) -> Harmonics:
    return Harmonics(gaussian_grid(nlat, nlon), degrees)
