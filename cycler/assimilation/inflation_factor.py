"""The factor on what is added to members: by channel, by the forecast's spread at a place, and by the season.

In every node's places (``local_error.py``) members have what the network gives them and F times what is added; F is
such that their variance is the square error of their mean, over a year (``training/local_spread.py``). Errors are
larger while the atmosphere varies more: in a season in which anomalies have S times the year's variance, errors are
taken to have S times theirs, of which the network knows nothing. What is added makes up for it,

    F of the season  =  F (1 + k (S - 1)),    k the errors' variance over that of what is added in the year's mean.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["InflationFactor", "growth"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class InflationFactor:
    """``square`` F (nodes, channels); ``response`` k (channels,), 0 where nobody has measured it."""

    square: FloatArray
    response: FloatArray

    def of_season(self, season: FloatArray) -> FloatArray:
        """F of a season (nodes, channels); ``season``: S (channels,)."""
        return self.square * growth(self.response, season)


def growth(response: FloatArray, season: FloatArray) -> FloatArray:
    """1 + k (S - 1), not below zero, of k and S (channels,)."""
    return np.asarray((1 + response * (season - 1)).clip(min=0), np.float32)
