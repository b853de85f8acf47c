"""A bias of the bundle's climate, zonal patterns of every channel: how it shows at soundings, and what they tell of it.

Against the climatology all of it does. Against a forecast little does: the forecast grew out of analyses of the world
as it is. With C the climate's variance at a degree and P what the forecast leaves of it, anomalies of the bundle's
climatology x ~ N(E beta, C), and a forecast f = x + e,

    E[x | f, beta] = (1 - P/C) f + (P/C) E beta

so that of a pattern only the share P/C is felt.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adaptation import ZONAL_DEGREES, Adaptation, zonal_basis
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.points import PointOperator
from dacycle.cycler.bundle import Bundle

__all__ = ["bias_operator", "felt", "felt_with_forecast", "regressed", "showing", "under", "usual_variance"]

FloatArray = npt.NDArray[np.float64]
LEAST = 0.02  # of the climate's standard deviation; analyses are wrong by a third of it


def felt(channels: int) -> FloatArray:
    """(channels, degrees): the share of every pattern that shows where there is no forecast, one."""
    return np.ones((channels, ZONAL_DEGREES))


def felt_with_forecast(world: Bundle, climate: GaussianPrior) -> FloatArray:
    """The same where there is one; ``climate``: the Gaussian prior of anomalies."""
    error, of_climate = (
        np.diagonal(np.asarray(covariance)[:ZONAL_DEGREES], axis1=1, axis2=2).T.astype(np.float64)
        for covariance in (world.anomaly_error, climate.covariance.cpu())
    )
    share = felt(len(error))
    share[:, : error.shape[1]] = np.clip(error / of_climate[:, : error.shape[1]].clip(1e-12), 0, 1)
    return share


def showing(share: FloatArray, known: Adaptation) -> FloatArray:
    """``share`` (channels, degrees), zero for patterns of which what is unknown shows by less than LEAST."""
    unknown = np.sqrt(np.diagonal(known.bias_covariance, axis1=1, axis2=2))
    return np.where(share * unknown < LEAST, 0.0, share)


def bias_operator(points: PointOperator, prior: GaussianPrior, known: Adaptation) -> Tensor:
    """(degrees, n): what each zonal pattern of a value's own channel adds to it, in units of its error.

    The patterns are in units of the bundle's standard deviation, ``points`` acts on anomalies in the world's.
    """
    scale = torch.as_tensor(np.sqrt(known.factor("climate")), dtype=torch.float32, device=points.channel.device)
    rows = torch.as_tensor(zonal_basis(prior.grid.lat), dtype=torch.float32, device=points.channel.device)
    fields = rows[:, None, :, None].expand(-1, prior.channels, -1, prior.grid.shape[1])
    return points.of_anomalies(fields) / scale[points.channel]


def usual_variance(bundle: Bundle) -> FloatArray:
    """(channels, degrees): W, how far the patterns' coefficients depart from zero in the bundle's own world, mean
    squares beyond what C says; zero where nobody has measured it."""
    if bundle.zonal_variance is None:
        return np.zeros((len(bundle.channels), ZONAL_DEGREES))
    return bundle.zonal_variance.astype(np.float64)


def under(bias: FloatArray, spread: FloatArray, before: float, after: float) -> tuple[FloatArray, FloatArray]:
    """Mean (degrees,) and covariance of a channel's bias from the same data, whose prior variance was ``before`` and is
    ``after``."""
    precision = np.linalg.inv(spread)
    # What data say is never less than nothing, as it might seem of a state directory of before version 15.
    values, vectors = np.linalg.eigh(precision - np.eye(ZONAL_DEGREES) / before)
    now = (vectors / (values.clip(0) + 1 / after)) @ vectors.T
    return now @ precision @ bias, (now + now.T) / 2


def regressed(
    bias: FloatArray, spread: FloatArray, innovation: Tensor, patterns: Tensor, total: Tensor
) -> tuple[FloatArray, FloatArray]:
    """The same given the ``innovation`` (n,) against a mean without bias, in which ``patterns`` (n, degrees) show, and
    whose covariance is ``total`` for a known bias."""
    prior, known = torch.as_tensor(spread), torch.as_tensor(bias)
    weighed = torch.cholesky_solve(patterns, torch.linalg.cholesky(total.double()))
    left = torch.linalg.solve(torch.eye(len(prior), dtype=torch.float64) + prior @ patterns.T @ weighed, prior)
    mean = known + left @ (weighed.T @ (innovation - patterns @ known))
    return mean.numpy(), ((left + left.T) / 2).numpy()
