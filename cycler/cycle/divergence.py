"""A forecast that has lost the world: seen by the soundings it contradicts, and distrusted until they agree again.

The check against the background assumes that the ensemble knows its own error. Where it does not, the check rejects
the very soundings that would bring it back, and the error grows unseen. So, channel by channel, the departures O-B are
first compared with what is expected of them, sigma_o^2 + s^2: where their (robust) variance is many times larger, or
too many would be rejected, the check uses the variance that is seen, and the forecast's error variance grows with it.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.adaptation import BOUNDS, DOUBT, FACTORS, Adaptation
from dacycle.obs.batch import ObservationBatch, Quality

__all__ = ["Divergence", "distrust", "diverged"]

FloatArray = npt.NDArray[np.float64]
FEWEST = 10  # values of a channel whose median can accuse the forecast
MANY = 30  # whose outliers can
LARGEST_RATIO = 4.0  # of seen to expected variance
LARGEST_SHARE = 0.1  # of values that the check would reject; a correct ensemble loses one in ten thousand
NORMAL = 0.6745  # median of |x| of a standard normal x


@dataclass(frozen=True)
class Divergence:
    """``ratio``: channel -> seen over expected variance of O-B, where the forecast is no longer believed;
    ``inflation`` (n,): factor on the background's standard deviation to check with, so that it is what is seen."""

    ratio: dict[str, float]
    inflation: FloatArray

    def __str__(self) -> str:
        worst = sorted(self.ratio, key=lambda name: -self.ratio[name])
        shown = ", ".join(f"{name} {self.ratio[name]:.0f}" for name in worst[:4])
        more = f" and {len(worst) - 4} more" if len(worst) > 4 else ""
        return (
            f"the forecast contradicts the soundings (variance of O-B over the expected: {shown}{more}); "
            "the background check is widened and the forecast's error raised"
        )


def diverged(batch: ObservationBatch, mean: FloatArray, spread: FloatArray, limit: float) -> Divergence | None:
    """None where the forecast, which expects ``mean`` (n,) give or take ``spread`` (n,), explains its departures.

    ``limit``: how many standard deviations the background check allows.
    """
    departure = batch.value - mean
    expected = batch.sigma**2 + spread**2
    usable = (batch.quality == Quality.ASSIMILATED) & np.isfinite(departure)
    ratios: dict[str, float] = {}
    inflation = np.ones(len(batch))
    for name in dict.fromkeys(batch.channel[usable].tolist()):
        rows = np.flatnonzero(usable & (batch.channel == name))
        if len(rows) < FEWEST:
            continue
        square = departure[rows] ** 2 / expected[rows]
        robust = float(np.median(np.sqrt(square)) / NORMAL) ** 2
        lost = float((square > limit**2).mean())
        apart = len(rows) >= MANY and lost > LARGEST_SHARE
        if robust > LARGEST_RATIO or apart:
            # Where a part of the world is lost and the rest is not, the median does not see it: that part is to lie at
            # half the limit.
            outer = float(np.quantile(square, 1 - LARGEST_SHARE / 2)) / (limit / 2) ** 2 if apart else 1.0
            ratios[name] = ratio = max(robust, outer, 1.0)
            same = batch.channel == name
            raised = np.maximum(ratio * expected[same] - batch.sigma[same] ** 2, spread[same] ** 2)
            inflation[same] = np.sqrt(raised / np.maximum(spread[same] ** 2, 1e-30))
    return Divergence(ratios, inflation) if ratios else None


def distrust(known: Adaptation, divergence: Divergence) -> Adaptation:
    """What is known, with the forecast's error raised where it diverged and open to be learnt anew."""
    k = FACTORS.index("forecast")
    factors, information = known.factors.copy(), known.information.copy()
    for name, ratio in divergence.ratio.items():
        c = known.channels.index(name)
        factors[c, k] = np.clip(factors[c, k] + np.log(ratio), *BOUNDS[k])
        information[c, k, :] = information[c, :, k] = 0.0
        information[c, k, k] = DOUBT[k] ** -2
    return replace(known, factors=factors, information=information)
