"""The last check before an analysis: values against the forecast ensemble or, in a first cycle, the climatology."""

import numpy as np
import numpy.typing as npt

from dacycle.cycler.bundle import Bundle
from dacycle.obs.background import background_check
from dacycle.obs.batch import ObservationBatch

__all__ = ["reject_outliers"]

FORECAST_LIMIT = 4.0
CLIMATOLOGY_LIMIT = 5.0  # the climatology is a poor background: only what is absurd fails it


def reject_outliers(
    bundle: Bundle, batch: ObservationBatch, background: npt.NDArray[np.float32] | None
) -> ObservationBatch:
    """``batch`` with outliers marked; ``background`` (members, n): equivalents of the lifted forecast, or None."""
    if len(batch) == 0:
        return batch
    if background is not None:
        spread = background.std(0, ddof=1) if len(background) > 1 else np.zeros(len(batch))
        return background_check(batch, background, spread, FORECAST_LIMIT)
    from dacycle.cycler.assimilation.fields import observe

    climatology = observe(bundle, bundle.climatology.mean(batch.analysis_time)[None], batch)[0]
    std = observe(bundle, bundle.climatology.std[None], batch)[0]
    return background_check(batch, climatology, std, CLIMATOLOGY_LIMIT)
