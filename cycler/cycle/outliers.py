"""The last checks before an analysis: values against the forecast, or in a first cycle the climatology, and each other.

In this order, each over what is left: the background check, with the ensemble's spread or what forecast errors usually
are, whichever is larger, which only what is absurd fails; the buddy check; thinning.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dacycle.channels import channel
from dacycle.cycler.bundle import Bundle
from dacycle.obs.background import background_check
from dacycle.obs.batch import ObservationBatch
from dacycle.obs.errors import observation_error
from dacycle.obs.neighbours import Expected, buddy_check

__all__ = ["FORECAST_LIMIT", "background", "humidity_errors", "reject_outliers"]

FloatArray = npt.NDArray[np.float64]

FORECAST_LIMIT = 5.0
CLIMATOLOGY_LIMIT = 7.0  # the climate of the bundle need not be that of the soundings: only what is absurd fails it


def reject_outliers(
    bundle: Bundle,
    batch: ObservationBatch,
    forecast: npt.NDArray[np.float32] | None,
    inflation: FloatArray | None = None,
) -> ObservationBatch:
    """``batch`` with outliers marked; ``forecast`` (members, channels, h, w): the emulator's, or None.

    Humidity's errors come back as of ``humidity_errors``. ``inflation`` (n,): on the background's standard deviation.
    """
    if len(batch) == 0:
        return batch
    expected, spread = background(bundle, batch, forecast)
    if inflation is not None:
        expected, spread = replace(expected, scale=expected.scale * inflation), spread * inflation
    batch = humidity_errors(batch, expected.mean)
    limit = CLIMATOLOGY_LIMIT if forecast is None else FORECAST_LIMIT
    batch = background_check(batch, expected.mean, spread, limit)
    return buddy_check(batch, expected)


def background(
    bundle: Bundle, batch: ObservationBatch, forecast: npt.NDArray[np.float32] | None
) -> tuple[Expected, FloatArray]:
    """What is expected of the values, and its standard deviation (n,): the ensemble's where that is larger."""
    from dacycle.cycler.assimilation.expectation import expectation
    from dacycle.cycler.assimilation.fields import lift, observe

    expected = expectation(bundle, batch, forecast)
    spread = expected.std
    if forecast is not None and len(forecast) > 1:
        members = observe(bundle, lift(bundle, forecast, batch.analysis_time), batch)
        spread = np.maximum(spread, members.std(0, ddof=1))
    return expected, spread


def humidity_errors(batch: ObservationBatch, background: FloatArray) -> ObservationBatch:
    """The batch with the errors that humidity has where the air is as moist as ``background`` (n,) says.

    They are a fraction of the humidity: a sensor that is wrongly dry must not be trusted for that.
    """
    sigma = batch.sigma.copy()
    for name in np.unique(batch.channel).tolist():
        if channel(name).variable == "q":
            rows = (batch.channel == name) & np.isfinite(background)
            sigma[rows] = observation_error(channel(name), background[rows])
    return replace(batch, sigma=sigma)
