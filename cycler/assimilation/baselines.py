"""The methods that draw no sample of the prior: the emulator's members as they are, and the LETKF of them.

Both work on the emulator's grid and are lifted onto the analysis grid by climatology and spectral interpolation.
"""

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.fields import harmonics_on, lift, observe, regrid
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.letkf import Localisation, great_circle_km, transform
from dacycle.cycler.assimilation.methods import LetkfSettings
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.bundle import Bundle
from dacycle.errors import ConfigError
from dacycle.obs.batch import ObservationBatch

__all__ = ["free_run", "letkf"]

FloatArray = npt.NDArray[np.float32]
SURFACE_PRESSURE_HPA = 1000.0


def free_run(bundle: Bundle, time: datetime, forecast: FloatArray, members: Sequence[int]) -> FloatArray:
    """The forecasts (N, channels, h, w) of ``members`` (from 1) on the analysis grid."""
    return lift(bundle, _of(forecast, members), time)


def letkf(
    bundle: Bundle,
    prior: GaussianPrior,
    settings: LetkfSettings,
    time: datetime,
    batch: ObservationBatch,
    forecast: FloatArray,
    members: Sequence[int],
    seed: int,
) -> FloatArray:
    """The analyses of ``members``, of an ensemble that is the same whichever of them are asked for.

    The soundings are seen through the emulator's grid; what it cannot resolve is counted as their error of
    representativeness, with the variance that the prior gives the degrees beyond it.
    """
    if len(forecast) < 2:
        raise ConfigError(f"the method letkf needs at least 2 members, got {len(forecast)}: set [ensemble] members")
    if settings.additive > 0:
        forecast = forecast + _draws_of_forecast_error(bundle, prior, settings.additive, time, len(forecast), seed)
    names = [c.name for c in bundle.channels]
    used = batch.assimilated
    used = used.select(np.isin(used.channel, names))
    if len(used) == 0:
        return lift(bundle, _of(forecast, members), time)
    channel = np.array([names.index(name) for name in used.channel])
    ours = observe(bundle, lift(bundle, forecast, time), used)  # (N, n)
    std = observe(bundle, bundle.climatology.std[None], used)[0]
    error = np.sqrt(used.sigma**2 + unresolved(bundle, prior)[channel] * std**2)
    mean = ours.mean(0)
    coarse = bundle.coarse
    lat, lon = (torch.as_tensor(v.ravel()) for v in np.meshgrid(coarse.lat, coarse.lon, indexing="ij"))
    distance = great_circle_km(lat, lon, torch.as_tensor(used.lat), torch.as_tensor(used.lon))
    height = torch.tensor([float(np.log(c.level_hpa or SURFACE_PRESSURE_HPA)) for c in bundle.channels])
    background = torch.as_tensor(forecast)
    deviations = (background - background.mean(0)).flatten(2)
    added, moved = transform(
        deviations,
        torch.as_tensor((ours - mean) / error, dtype=torch.float32),
        torch.as_tensor((used.value - mean) / error, dtype=torch.float32),
        torch.as_tensor(channel),
        Localisation(distance, height, settings),
        settings,
    )
    analysis = background.mean(0) + (added + moved).view(background.shape)
    return lift(bundle, _of(analysis.numpy(), members), time)


def unresolved(bundle: Bundle, prior: GaussianPrior) -> FloatArray:
    """Variance (channels,) of the normalised state in the degrees that the emulator's grid lacks."""
    first = min(bundle.coarse.shape)
    diagonal = prior.covariance.cpu().diagonal(dim1=1, dim2=2)  # LETKF computes on the CPU, wherever the prior is
    modes = 2 * torch.arange(len(diagonal)) + 1
    beyond = (modes[:, None] * diagonal)[first:].sum(0) / (4 * math.pi * prior.scale**2) + prior.rest.cpu()
    return np.asarray(beyond.numpy())


def _draws_of_forecast_error(
    bundle: Bundle, prior: GaussianPrior, share: float, time: datetime, count: int, seed: int
) -> FloatArray:
    """``count`` draws with ``share`` of the bundle's forecast-error covariance and a mean of zero, physical units."""
    covariance = torch.as_tensor(bundle.anomaly_error)
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp_min(0).sqrt()[..., None, :]
    degrees = len(covariance)
    noises = [MemberNoise(seed, time, 2 * k + 1) for k in range(count)]  # one of each antithetic pair
    white = torch.stack([noise.draw((len(bundle.channels), degrees**2)) for noise in noises])
    degree = prior.harmonics.degree[: degrees**2].cpu()
    a = torch.einsum("kcd,mdk->mck", root[degree], white - white.mean(0))
    fields: Tensor = harmonics_on(*bundle.coarse.shape, degrees).synthesise(a / prior.scale)
    std = regrid(torch.as_tensor(bundle.climatology.std), bundle.grid, bundle.coarse)
    return np.asarray((share * count / (count - 1)) ** 0.5 * (fields * std).numpy(), dtype=np.float32)


def _of(ensemble: FloatArray, members: Sequence[int]) -> FloatArray:
    return ensemble[[(member - 1) % len(ensemble) for member in members]]
