"""The factor on what is added to members: by channel, by the forecast's spread at a place, and by how large errors are.

In every node's places (``local_error.py``) members have what the network gives them and F times what is added; F is
such that their variance is the square error of their mean, over a year (``training/local_spread.py``). At a time at
which errors have S times the year's variance, of which the network knows nothing, what is added makes up for it,

    F of the time  =  F (1 + k (S - 1)),    k the errors' variance over that of what is added in the year's mean.

In a season in which anomalies have S' times the year's variance, errors are taken to have S' times theirs. Where
forecasts are compared with soundings, these say how much larger or smaller errors are than that: with a their level
(``error_level.py``), a' its usual one in the year's mean,

    S  =  S' (a / (a' mean of S'))^q,    q below one, because analyses' errors follow forecasts' only in part.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.error_level import ErrorLevel

__all__ = ["InflationFactor", "Usual", "beyond", "growth"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Usual:
    """Of levels of forecasts' errors: ``log``, ln a', and the ``power`` q with which analyses' errors follow them."""

    log: float
    power: float


@dataclass(frozen=True)
class InflationFactor:
    """``square`` F (nodes, channels); ``response`` k (channels,), 0 where nobody has measured it; ``usual``: None
    likewise."""

    square: FloatArray
    response: FloatArray
    usual: Usual | None = None

    def size(self, level: ErrorLevel | None, season: FloatArray) -> FloatArray:
        """S (channels,); ``season`` (channels,): S', the date's variance of anomalies over the year's."""
        if level is None or self.usual is None:
            return season
        return season * np.float32(np.exp(self.usual.power * (beyond(level.log, season) - self.usual.log)))

    def usual_level(self, season: FloatArray) -> ErrorLevel:
        """What is thought of the level before any innovation was seen: a' S', or that errors are as the bundle says
        where nobody has measured it."""
        return ErrorLevel() if self.usual is None else ErrorLevel(self.usual.log + float(np.log(season.mean())))

    def of_size(self, size: FloatArray) -> FloatArray:
        """F (nodes, channels) where errors have the ``size`` S (channels,)."""
        return self.square * growth(self.response, size)


def beyond(log: float, season: FloatArray) -> float:
    """Of a level's logarithm, what the season (channels,) does not account for."""
    return log - float(np.log(season.mean()))


def growth(response: FloatArray, size: FloatArray) -> FloatArray:
    """1 + k (S - 1), not below zero, of k and S (channels,)."""
    return np.asarray((1 + response * (size - 1)).clip(min=0), np.float32)
