"""How large forecasts' errors are at present, of what the bundle says: one number for all channels together.

Errors of a month are larger or smaller than a year's by a tenth and more, in all channels at once. An innovation d of a
channel, observation minus calibrated forecast, has the covariance S = a K + F, K that of the bundle's forecast errors,
F of all else (``adapt.py``). Fisher scoring of ln a over the channels, as of the factors of single channels
(``variance_components.py``):

    g = sum over channels of 1/2 (d' S^-1 K S^-1 d - tr S^-1 K) a,    f = sum of 1/2 tr(S^-1 K S^-1 K) a^2

Soundings stand where forecasts are better than in the mean, so a is below one as a rule; what is used of it is how it
departs from its usual value (``inflation_factor.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

__all__ = ["ErrorLevel"]

DOUBT = 1.0  # standard deviation of ln a before any innovation was seen
MEMORY_HOURS = 5 * 24.0  # weather goes from calm to stormy within days; one time alone is off by a tenth
LONGEST_STEP = 0.5
BOUNDS = tuple(np.log([0.05, 9.0]).tolist())


@dataclass(frozen=True)
class ErrorLevel:
    """``log``: ln a; ``information``: inverse of its variance, if channels were independent of each other."""

    log: float = 0.0
    information: float = DOUBT**-2

    def later(self, hours: float) -> Self:
        """The same, so much later: less sure."""
        first = DOUBT**-2
        return replace(self, information=first + float(np.exp(-hours / MEMORY_HOURS)) * (self.information - first))

    def after(self, scores: Sequence[tuple[float, float]]) -> Self:
        """With what the channels' innovations of one time say: of each its part of g and of f at this level."""
        gradient, information = np.reshape(scores, (-1, 2)).sum(0).tolist()
        total = self.information + information
        step = float(np.clip(gradient / total, -LONGEST_STEP, LONGEST_STEP))
        return replace(self, log=float(np.clip(self.log + step, *BOUNDS)), information=total)
