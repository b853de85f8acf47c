"""Before an analysis: which values enter, with which errors, and what is known of climate and forecast by now."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.divergence import Divergence, distrust, diverged
from dacycle.cycler.cycle.outliers import FORECAST_LIMIT, background, humidity_errors, reject_outliers
from dacycle.obs.batch import ObservationBatch

__all__ = ["Learn", "Prepared", "prepare"]

FloatArray = npt.NDArray[np.float32]
Learn = Callable[[Adaptation, ObservationBatch], tuple[Adaptation, Adaptation]]
"""(what is known, values with the error table's sigma) -> (for this analysis, for the next cycle)."""


@dataclass(frozen=True)
class Prepared:
    """``batch``: checked, withheld ones marked, with the errors in force; ``now``: what the analysis stands on;
    ``after``: what the next cycle starts from; ``divergence``: why the forecast is not believed, or None."""

    batch: ObservationBatch
    now: Adaptation
    after: Adaptation
    divergence: Divergence | None


def prepare(
    bundle: Bundle,
    known: Adaptation,
    batch: ObservationBatch,
    forecast: FloatArray | None,
    select: Callable[[ObservationBatch], ObservationBatch],
    learn: Learn,
) -> Prepared:
    """``forecast`` (members, channels, h, w): the emulator's, or None. ``select`` marks what is thinned or withheld
    of the values that passed; withheld ones reach no estimate.

    Without a background the check is against the climatology, twice: what the bundle's climate rejects may be normal
    in the world's.
    """
    world, divergence, inflation = known.world(bundle), None, None
    if len(batch):
        expected, spread = background(world, batch, forecast)
        batch = humidity_errors(batch, expected.mean)
        if forecast is not None:
            divergence = diverged(select(known.weigh(batch)), expected.mean, spread, FORECAST_LIMIT)
        if divergence is not None:
            known, inflation = distrust(known, divergence), divergence.inflation
    checked = select(reject_outliers(world, known.weigh(batch), forecast, inflation))
    now, after = learn(known, _as(batch, checked))
    if forecast is None and after is not known:
        checked = select(reject_outliers(after.world(bundle), after.weigh(batch), None))
        now, after = learn(known, _as(batch, checked))
    return Prepared(now.weigh(_as(batch, checked)), now, after, divergence)


def _as(batch: ObservationBatch, checked: ObservationBatch) -> ObservationBatch:
    """The values with the verdicts of ``checked`` and the error table's sigma."""
    return replace(batch, quality=checked.quality)
