"""Makes the flow from noise to samples keep the energy: the ``Response`` is corrected on the flow's own states.

On true states under noise the response has made <x D> what it should be (``response.py``). States on the way from noise
to a sample are others: what the denoiser made of them at higher levels is not quite what an atmosphere would have
there, so it finds less in them than in true ones, damps them, and finds still less (exposure bias: Ning et al. 2023,
arXiv 2308.15321). At every level, on the way down, both parts are therefore scaled per channel and degree by

    k = (v / (v + sigma^2)) / (<x D> / <x x>),    v: the climate's variance,

with which d<x^2> / d ln sigma = 2 <x (x - D)> is that of a flow whose samples have v.
"""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.prior import DiffusionPrior
from dacycle.cycler.assimilation.response import Response
from dacycle.cycler.assimilation.sampler import sample
from dacycle.emulators.spectral import by_degree

__all__ = ["fit_flow"]

BATCH = 4
DESCENTS = 3
WIDTH = 0.15
"""Standard deviation, in ln(degree + 2), of the window in which degrees share their moments."""
WORTH = 300.0
"""Coefficients of pure signal after which half of what they say counts."""
MOST = 1.25


@torch.no_grad()
def fit_flow(prior: DiffusionPrior, seasons: Tensor, seed: int = 13) -> Response:
    """``prior.response``, which must be there, corrected on as many samples as there are ``seasons`` (n, 4). ValueError
    without a response."""
    if prior.response is None:
        raise ValueError("expected a prior with a response found on true states, to be corrected")
    given, gaussian = prior.response, prior.gaussian
    found = Response(given.levels.clone(), given.gaussian.clone(), given.network.clone())
    levels, seasons = given.levels.tolist(), seasons.to(prior.statics.device)
    generator = torch.Generator().manual_seed(seed)

    def denoised(x: Tensor, sigma: Tensor) -> Tensor:
        parts = zip(*(torch.split(each, BATCH) for each in (x, sigma, seasons)), strict=True)
        mean = torch.cat([prior(*part) for part in parts])
        coefficients, level = gaussian.analyse(mean), float(sigma[0])
        factor = _factor(gaussian, gaussian.analyse(x), coefficients, level)
        k = levels.index(level)
        for part in (found.gaussian, found.network):
            part[k] = (1 + part[k]) * factor.to(part) - 1
        return mean + gaussian.synthesise((factor - 1)[:, gaussian.harmonics.degree] * coefficients)

    prior.response = found
    x = gaussian.sample(len(seasons), generator)[1]
    for _ in range(DESCENTS):
        x = sample(denoised, x + levels[-1] * gaussian.noise(x, generator), levels[::-1])
    prior.response = given
    return found


def _factor(gaussian: GaussianPrior, x: Tensor, mean: Tensor, level: float) -> Tensor:
    """k (channels, degrees) from coefficients (n, channels, L*L), by as much as they say away from one."""
    products = [(part * other) for part, other in ((x, mean), (x, x))]
    xd, xx = (torch.stack([part.sum((0, -1)) for part in by_degree(each)], -1) for each in products)
    v = gaussian.covariance.diagonal(dim1=1, dim2=2).T
    share = v / (v + level**2)
    degree = torch.arange(v.shape[1], device=v.device)
    distance = (degree + 2.0).log()
    window = torch.exp(-0.5 * ((distance[:, None] - distance) / WIDTH) ** 2)
    expected, found = ((each / (v + level**2)) @ window.T for each in (xx * share, xd))
    heard = ((2 * degree + 1.0) * len(x) * window).sum(1) * share
    ratio = (expected / found).nan_to_num(1.0, 1.0, 1.0).clamp(1 / MOST, MOST)
    return 1 + (ratio - 1) * heard / (heard + WORTH)
