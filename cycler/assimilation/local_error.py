"""How wrong a forecast is from place to place, as the spread of its ensemble tells.

Every member starts from its own draw of the analysis: near to each other where soundings are, far apart where none
is. So their forecasts' variance, smoothed and averaged over the channels, tells where their mean is wrong by much and
where by little (an established use of ensembles: Bonavita et al. 2012); how much that is, the statistics say. Of the
*relative spread* r, that variance over its mean over the globe, a bundle knows for a few values, the nodes, with which
slope and error covariance forecasts are to be taken (``Bundle.local_slope``, ``local_error``); between them places are
blended by weights u_n that add up to one (``node_weights``).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.ageing import Age
from dacycle.cycler.assimilation.fields import regrid
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.bundle import NODES, STATISTICS_HOURS, Bundle

__all__ = ["local_weights", "node_weights", "relative_spread"]

FloatArray = npt.NDArray[np.float32]
FEWEST_MEMBERS = 4
SMOOTHING_KM = 500.0
SMALLEST = 0.02  # smoothing in spectral space can leave a little below zero


def local_weights(
    bundle: Bundle, std: FloatArray, prior: GaussianPrior, forecast: FloatArray, age: Age
) -> Tensor | None:
    """u_n (nodes, nlat, nlon) for members (N, channels, h, w); ``std`` (channels, nlat, nlon): of the watched world.

    None where the bundle has no such statistics, where members are too few to tell, and for a forecast that ran on
    without soundings for longer than those of the statistics: ``ageing.py`` knows how uncertain that is everywhere.
    """
    if bundle.local_error is None or len(forecast) < FEWEST_MEMBERS or max(age.known, age.free) > STATISTICS_HOURS:
        return None
    return node_weights(relative_spread(bundle, std, prior, forecast), NODES)


def relative_spread(bundle: Bundle, std: FloatArray, prior: GaussianPrior, forecast: FloatArray) -> Tensor:
    """r (nlat, nlon) of members (N, channels, h, w), whose departures are taken in units of ``std``."""
    departures = regrid(torch.as_tensor(forecast - forecast.mean(0)), bundle.coarse, bundle.grid)
    variance = (departures / torch.as_tensor(std)).square().mean((0, 1)).to(prior.rest.device)
    harmonics = prior.harmonics
    even = harmonics.synthesise(harmonics.analyse(variance) * harmonics.smoothing(SMOOTHING_KM))
    return (even / (even * prior.weights).mean()).clamp_min(SMALLEST)


def node_weights(spread: Tensor, nodes: Sequence[float]) -> Tensor:
    """u_n (nodes, ...) of places with a relative ``spread``: linear in its logarithm between two nodes."""
    logs = torch.as_tensor(nodes, dtype=torch.float64).log().to(spread)
    part = ((spread.log() - logs[:-1, None, None]) / (logs[1:] - logs[:-1])[:, None, None]).clamp(0, 1)
    one = torch.ones_like(part[:1])
    return torch.cat([one, part]) - torch.cat([part, 0 * one])
