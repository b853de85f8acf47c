"""How large the scales that forecasts do not reach are, by channel and latitude, against what the prior's covariance
says of them (``assimilation/small_scales.py``)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.prior import DiffusionPrior
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.dataset import Dataset, state
from dacycle.cycler.training.smoothing import smoothed

__all__ = ["measured_small_scales"]

EVERY = 8  # of the frames, two days: small scales have forgotten each other
DRAWS = 16
BOUNDS = 0.2, 2.5
SMOOTHINGS = 4


def measured_small_scales(prior: DiffusionPrior, bundle: Bundle, natures: Sequence[Dataset]) -> npt.NDArray[np.float32]:
    """The factor (channels, nlat) on standard deviations: of the truth of ``natures`` over draws of the prior's
    covariance, of degrees beyond those of the bundle's forecast errors; smooth in latitude."""
    degrees = len(bundle.forecast_error)
    seen = [
        _square(prior, bundle, degrees, prior.variables(_anomaly(bundle, nature, number), bundle))
        for nature in natures
        for number in range(0, len(nature.times), EVERY)
    ]
    generator = torch.Generator().manual_seed(0)
    drawn = [_square(prior, bundle, degrees, prior.gaussian.sample(1, generator)[1]) for _ in range(DRAWS)]
    truth, expected = (smoothed(torch.stack(squares).mean(0), SMOOTHINGS) for squares in (seen, drawn))
    return np.asarray((truth / expected.clamp_min(1e-12)).sqrt().clamp(*BOUNDS).numpy(), dtype=np.float32)


def _anomaly(bundle: Bundle, nature: Dataset, number: int) -> Tensor:
    climate, time = bundle.climatology, nature.times[number]
    return torch.as_tensor((state(nature, bundle.channels, number)[None] - climate.mean(time)) / climate.std)


def _square(prior: DiffusionPrior, bundle: Bundle, degrees: int, y: Tensor) -> Tensor:
    """Mean along circles of latitude (channels, nlat), in x, of the square of what ``y`` (1, channels, nlat, nlon) in
    the prior's variables has beyond ``degrees``."""
    a = prior.gaussian.analyse(y)
    a[..., : degrees**2] = 0
    return prior.anomalies(prior.gaussian.synthesise(a), bundle)[0].square().mean(-1)
