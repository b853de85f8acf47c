"""What a forecast is taken for: the mean of the truth given it, E[x | f], degree by degree of the prior's variables."""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.fields import harmonics_on
from dacycle.cycler.bundle import Bundle

__all__ = ["calibrated"]


def calibrated(world: Bundle, balance: Balance | None, anomaly: Tensor, local: Tensor | None = None) -> Tensor:
    """E[x | f] (channels, nlat, nlon) for a mean forecast f on the analysis grid, both anomalies of the ``world``'s
    climatology over its standard deviation: slope f, or with ``local`` weights u (nodes, nlat, nlon) sum u_n slope_n f.

    ``balance``: between x and the prior's variables, where these are others.
    """
    slopes, weights = world.forecast_slope[None], [torch.ones(())]
    if local is not None and world.local_slope is not None:
        slopes, weights = world.local_slope, list(local)
    harmonics = harmonics_on(*world.grid.shape, slopes.shape[1])
    x = anomaly[None]
    a = harmonics.analyse(x if balance is None else balance.control(x))
    of_nodes = torch.einsum("nkcd,mdk->nck", torch.as_tensor(slopes)[:, harmonics.degree], a)
    parts = zip(weights, harmonics.synthesise(of_nodes), strict=True)
    blended = sum((weight * part for weight, part in parts), torch.zeros(()))[None]
    return (blended if balance is None else balance.state(blended))[0]
