"""Observations against the background."""

import numpy as np
import numpy.typing as npt

from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.profiles import wind_pairs

__all__ = ["background_check"]

FloatArray = npt.NDArray[np.float64]


def background_check(
    batch: ObservationBatch,
    background: npt.NDArray[np.floating],
    spread: npt.NDArray[np.floating],
    k: float = 4.0,
) -> ObservationBatch:
    """BACKGROUND where |y - Hx| > k sqrt(so^2 + sb^2); both components of a wind fall together.

    ``background``: the equivalents Hx (n,), or those of N members (N, n), whose mean is taken; ``spread`` (n,): the
    background's standard deviation sb. A value without finite equivalent is OPERATOR_FAILED.
    """
    departure, total = _departure(batch, background, spread)
    batch = batch.mark(~np.isfinite(departure) | ~np.isfinite(total), Quality.OPERATOR_FAILED)
    with np.errstate(invalid="ignore"):
        outlier = abs(departure) > k * total
    return batch.mark(wind_pairs(batch, outlier & (batch.quality == Quality.ASSIMILATED)), Quality.BACKGROUND)


def _departure(
    batch: ObservationBatch, background: npt.NDArray[np.floating], spread: npt.NDArray[np.floating]
) -> tuple[FloatArray, FloatArray]:
    """y - Hx and sqrt(so^2 + sb^2), both (n,)."""
    mean = np.asarray(background, np.float64)
    mean = mean.mean(0) if mean.ndim == 2 else mean
    if mean.shape != (len(batch),) or np.shape(spread) != (len(batch),):
        raise ValueError(
            f"expected background and spread for {len(batch)} values; got {mean.shape}, {np.shape(spread)}"
        )
    return batch.value - mean, np.hypot(batch.sigma, np.asarray(spread, np.float64))
