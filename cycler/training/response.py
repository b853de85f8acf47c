"""Finds the ``Response``: how far the denoiser's two parts are to be believed, on states that no training saw.

Per noise level, channel and degree, truth less G is regressed on G and R. What counts is relative to the Gaussian
prior's error of that degree; neighbouring degrees, and weakly the other channels, help each other, for the large scales
have few coefficients.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from dacycle.cycler.assimilation.prior import DiffusionPrior
from dacycle.cycler.assimilation.response import Response
from dacycle.cycler.training.frames import Frames, batches
from dacycle.cycler.training.prior import LEVELS as JUDGED_LEVELS
from dacycle.emulators.spectral import by_degree

__all__ = ["fit_response", "regress", "told"]

LEVELS = (*JUDGED_LEVELS, 10.0, 20.0, 40.0)
"""Also beyond the highest of the training: where a network knows nothing little of it counts; samples begin there."""
BATCH = 4
WIDTH = 0.15
"""Standard deviation, in ln(degree + 2), of the window in which degrees share their moments."""
SHARED = 300.0
"""So many coefficients' worth of all channels' mean enters each channel."""
RIDGE = 1e-4
LEAST = 1e-4
"""Of a coefficient's mean error: what any counts at least, lest degrees without variance drown their neighbours."""


@torch.no_grad()
def fit_response(prior: DiffusionPrior, frames: Frames, seed: int = 11) -> Response:
    """From states ``frames`` in the prior's variables; what response the prior has already does not matter. On the CPU,
    wherever the prior is.
    """
    found = [regress(*_moments(prior, frames, level, seed), len(frames)) for level in LEVELS]
    gaussian, network = (torch.stack(part) for part in zip(*found, strict=True))
    return Response(torch.tensor(LEVELS), gaussian, network)


def told(response: Response) -> Iterator[str]:
    """For people: what counts of the network's part, per level, some degrees and all channels."""
    degrees = [degree for degree in (0, 2, 5, 10, 20, 40, 80) if degree < response.network.shape[-1]]
    for level, part in zip(response.levels.tolist(), 1 + response.network.mean(1), strict=True):
        counts = "  ".join(f"{degree} {float(part[degree]):.2f}" for degree in degrees)
        yield f"noise level {level:g}: of what the network adds counts, at degree: {counts}"


def regress(products: Tensor, gaussian_error: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """a and b (channels, degrees) from sums over ``frames`` and orders.

    ``products`` (5, channels, degrees): of G G, G R, R R, (x0 - G) G, (x0 - G) R; ``gaussian_error`` (channels,
    degrees): of (x0 - G)^2.
    """
    degrees = products.shape[-1]
    count = (2 * torch.arange(degrees) + 1.0) * frames
    distance = (torch.arange(degrees) + 2.0).log()
    window = torch.exp(-0.5 * ((distance[:, None] - distance) / WIDTH) ** 2) * count
    each = gaussian_error.double() / count
    error = each.clamp_min(LEAST * float(each.mean())) * count
    relative = products.double() / error
    smooth = relative @ (window.double() / window.double().sum(1, keepdim=True)).T
    heard = window.sum(1)  # coefficients that stand behind each degree
    share = (SHARED / (SHARED + heard)).double()
    gg, gr, rr, eg, er = (1 - share) * smooth + share * smooth.mean(1, keepdim=True)
    # Where the network says nothing (R = 0), b is zero.
    gg, rr = gg + RIDGE, rr + RIDGE
    determinant = gg * rr - gr**2
    a = (eg * rr - er * gr) / determinant
    b = (er * gg - eg * gr) / determinant - 1
    return a.float(), b.clamp_min(-1.0).float()


def _moments(prior: DiffusionPrior, frames: Frames, level: float, seed: int) -> tuple[Tensor, Tensor]:
    """What ``regress`` takes, at one noise level."""
    gaussian = prior.gaussian
    generator = torch.Generator().manual_seed(seed)
    products: Tensor | float = 0.0
    error: Tensor | float = 0.0
    for x0, season in batches(frames, BATCH, prior.statics.device):
        sigma = torch.full((len(x0),), level, device=x0.device)
        _, residual, g = prior.parts(x0 + level * gaussian.noise(x0, generator), sigma, season)
        r, left = gaussian.analyse(residual), gaussian.analyse(x0) - g
        pairs = ((g, g), (g, r), (r, r), (left, g), (left, r))
        products = products + torch.stack([_per_degree(p, q) for p, q in pairs])
        error = error + _per_degree(left, left)
    return torch.as_tensor(products).cpu(), torch.as_tensor(error).cpu()


def _per_degree(p: Tensor, q: Tensor) -> Tensor:
    """Products summed over states and orders (channels, degrees)."""
    return torch.stack([part.double().sum((0, -1)) for part in by_degree(p * q)], -1)
