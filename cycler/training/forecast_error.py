"""Error statistics of the emulator's mean forecast, estimated by cycling where the truth is known."""

from collections.abc import Iterable

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = ["estimate_forecast_error", "first_guess"]

SHARE_BOUNDS = (0.01, 0.99)
NEIGHBOURS = 2  # degrees on either side that lend their samples


def first_guess(prior: GaussianPrior, degrees: int) -> Tensor:
    """(degrees, channels, channels): a share of the climatological covariance, from 0.3 up to 0.9 at small scales."""
    share = torch.linspace(0.3, 0.9, degrees)
    return share[:, None, None] * prior.covariance[:degrees]


def estimate_forecast_error(prior: GaussianPrior, pairs: Iterable[tuple[Tensor, Tensor]], degrees: int) -> Tensor:
    """Covariance per degree of (forecast - truth) from ``pairs`` of normalised fields (channels, nlat, nlon).

    In the basis where the climatological covariance is the identity, neighbouring degrees are averaged (they are alike
    there, and the lowest have few samples), and the eigenvalues, the share of the climatological variance that the
    forecast leaves unknown, are kept between SHARE_BOUNDS. Systematic error counts as error.
    """
    values = prior.eigenvalues[:degrees].clamp_min(1e-6)
    whiten = prior.eigenvectors[:degrees].transpose(-1, -2) / values.sqrt()[..., None]
    degree = prior.harmonics.degree[: degrees**2]
    channels = prior.channels
    total, count = torch.zeros(degrees, channels, channels), 0
    for forecast, truth in pairs:
        error = prior.analyse((forecast - truth)[None])[0, :, : degrees**2]
        whitened = torch.einsum("kcd,dk->kc", whiten[degree], error)
        total.index_add_(0, degree, whitened[:, :, None] * whitened[:, None, :])
        count += 1
    if count == 0:
        raise ValueError("forecast-error statistics need at least one pair of forecast and truth")
    modes = (2 * torch.arange(degrees) + 1).float() * count
    pooled = torch.stack(
        [
            total[max(0, k - NEIGHBOURS) : k + NEIGHBOURS + 1].sum(0)
            / modes[max(0, k - NEIGHBOURS) : k + NEIGHBOURS + 1].sum()
            for k in range(degrees)
        ]
    )
    share, rotation = torch.linalg.eigh(pooled)
    pooled = (rotation * share.clamp(*SHARE_BOUNDS)[..., None, :]) @ rotation.transpose(-1, -2)
    back = prior.eigenvectors[:degrees] * values.sqrt()[..., None, :]
    covariance: Tensor = back @ pooled @ back.transpose(-1, -2)
    return covariance
