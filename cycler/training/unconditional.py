"""Samples of a prior with nothing observed: what it takes states of the atmosphere to be.

The flow begins where the noise hides what a draw of the Gaussian prior has wrong: that draw is as lively in the tropics
as anywhere, and a network that sees its large scales through the noise believes neither and damps both. One descent
still remembers some of it, so the sample is noised again and let down anew (restart sampling; Xu et al. 2023, arXiv
2306.14878).
"""

from datetime import datetime

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.assimilation.analysis import SMALLEST_LEVEL
from dacycle.cycler.assimilation.fields import positive
from dacycle.cycler.assimilation.prior import HIGHEST_LEVEL, DiffusionPrior
from dacycle.cycler.assimilation.sampler import geometric_ladder, sample
from dacycle.cycler.bundle import Bundle

__all__ = ["unconditional"]

DESCENTS = 3


def unconditional(
    bundle: Bundle, prior: DiffusionPrior, time: datetime, steps: int, seed: int
) -> npt.NDArray[np.float32]:
    """A state (channels, nlat, nlon), physical units, of that date; ``steps``: denoiser calls of each descent."""
    gaussian, generator = prior.gaussian, torch.Generator().manual_seed(seed)
    highest = HIGHEST_LEVEL if prior.response is None else float(prior.response.levels[-1])
    ladder = geometric_ladder(highest, SMALLEST_LEVEL, steps)
    with torch.no_grad():
        _, x = gaussian.sample(1, generator)
        for _ in range(DESCENTS):
            x = sample(prior.at(time), x + highest * gaussian.noise(x, generator), ladder)
        anomalies = prior.anomalies(x, bundle).numpy()
    states = anomalies * bundle.climatology.std + bundle.climatology.mean(time)
    return np.asarray(positive(bundle, states)[0], dtype=np.float32)
