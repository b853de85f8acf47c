"""How long the errors' tails are: found where the rank histograms of published members bend neither way.

With the right variance and Gaussian deviations the truth lies in the middle of the members too often, because errors
have longer tails (``assimilation/tails.py``). The more the members' departures scatter, the less; a channel's tails are
those for which the histogram's bend (Jolliffe and Primo 2008) is zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.error_level import ErrorLevel
from dacycle.cycler.assimilation.inflation_factor import InflationFactor
from dacycle.cycler.assimilation.tails import with_tails_of
from dacycle.cycler.experiments.osse_scores import rank_contrasts, ranked_places
from dacycle.emulators.grid import Grid

__all__ = ["Sample", "bends", "error_tails"]

FloatArray = npt.NDArray[np.float32]
Series = npt.NDArray[np.float64]
LONGEST = 1.0
LARGEST_RESPONSE = 8.0  # what is added is then an eighth of the errors: the season asks little of it
TRIED = np.linspace(0.0, LONGEST, 11)


@dataclass(frozen=True)
class Sample:
    """One analysis at places that are nearly uniform over the sphere, as normalised anomalies. ``members`` (N,
    channels, places) without anything added, in antithetic pairs; of the same shape, for a factor of one,
    ``deviations``: what is added to a channel as such, and ``followed``: what winds follow of what is added to the
    channel ``of`` (channels,), their height. ``weights`` (nodes, places) of relative spread; ``truth`` (channels,
    places); ``season`` (channels,): the date's variance of anomalies over the year's; ``level`` (): ln a of forecasts'
    errors (``error_level.py``)."""

    members: FloatArray
    deviations: FloatArray
    followed: FloatArray
    of: npt.NDArray[np.int64]
    weights: FloatArray
    truth: FloatArray
    season: FloatArray
    level: Series

    @classmethod
    def of_fields(
        cls,
        grid: Grid,
        balance: Balance | None,
        members: Tensor,
        given: Tensor,
        weights: FloatArray,
        truth: Tensor,
        season: FloatArray,
        level: ErrorLevel,
    ) -> "Sample":
        """Of whole fields (..., nlat, nlon); ``given``: what is added to the prior's variables for a factor of one."""
        own, of, followed = given.clone(), np.arange(given.shape[1]), torch.zeros_like(given)
        if balance is not None:
            own[:, balance.winds] *= balance.spread
            of[balance.winds] = balance.heights
            followed = balance.state(given) - own
        whole = (members.numpy(), own.numpy(), followed.numpy(), weights, truth.numpy())
        places = ranked_places(grid)
        m, d, f, w, x = (each.reshape(*each.shape[:-2], -1)[..., places].astype(np.float32) for each in whole)
        return cls(m, d, f, of, w, x, season, np.asarray(level.log))

    def added(self, square: FloatArray) -> FloatArray:
        """What is added to the members (N, channels, places) for the factor's ``square`` (nodes, channels)."""
        factor = np.sqrt(np.einsum("nc,np->cp", square, self.weights))
        return np.asarray(factor * self.deviations + factor[self.of] * self.followed, dtype=np.float32)

    def drawn(self, inflation: InflationFactor) -> FloatArray:
        """The members with what they lack."""
        return self.members + self.added(inflation.of_size(self.size(inflation)))

    def size(self, inflation: InflationFactor) -> FloatArray:
        """Of the errors, against the year's (channels,)."""
        return inflation.size(ErrorLevel(float(self.level)), self.season)

    def square_error(self) -> Series:
        """Of the members' mean (channels,), their sampling allowed for."""
        means = (self.members[0::2].astype(np.float64) + self.members[1::2]) / 2
        return np.asarray((np.square(means.mean(0) - self.truth) - means.var(0, ddof=1) / len(means)).mean(-1))


def error_over_added(samples: Sequence[Sample], inflation: InflationFactor) -> FloatArray:
    """(channels,): the errors' variance over that of what is added for the factor's square (nodes, channels), both
    of the year, from 0 to LARGEST_RESPONSE; 0 where nothing is added."""
    error = np.mean([s.square_error() for s in samples], 0) / np.mean([s.size(inflation) for s in samples], 0)
    added = np.mean([np.square(s.added(inflation.square), dtype=np.float64).mean((0, 2)) for s in samples], 0)
    ratio = np.divide(error, added, out=np.zeros_like(error), where=added > 0)
    return np.asarray(ratio.clip(0.0, LARGEST_RESPONSE), np.float32)


def error_tails(samples: Sequence[Sample], inflation: InflationFactor) -> FloatArray:
    """t (channels,), from 0 to LONGEST, of members with what they lack. ValueError without a sample."""
    if not samples:
        raise ValueError("the errors' tails cannot be judged without an analysis")
    one = np.ones_like(inflation.response)
    tried = np.stack([bends(samples, inflation, np.float32(t) * one) for t in TRIED])  # (tried, channels)
    return np.array([_crossing(column) for column in tried.T], np.float32)


def bends(samples: Sequence[Sample], inflation: InflationFactor, tails: FloatArray) -> Series:
    """Of the rank histograms of all samples (channels,), for members with what they lack and those ``tails``
    (channels,)."""
    rng = np.random.default_rng(0)
    total: npt.NDArray[np.int64] | int = 0
    for sample in samples:
        pairs, places = len(sample.members) // 2, sample.truth.shape[1]
        # Places are far apart: each has a number of its own.
        drawn = rng.standard_normal((pairs, 1, places), dtype=np.float32)
        published = with_tails_of(tails[:, None], sample.drawn(inflation), drawn)
        below = (published < sample.truth).sum(0)
        total = total + np.stack([np.bincount(row, minlength=2 * pairs + 1) for row in below])
    return rank_contrasts(np.asarray(total))[1]


def _crossing(found: Series) -> float:
    """Where bends, of TRIED, come up to zero; the nearest end where they do not."""
    above = np.flatnonzero(found >= 0)
    if len(above) == 0:
        return LONGEST
    last = int(above[0])
    return float(np.interp(0.0, found[last - 1 : last + 1], TRIED[last - 1 : last + 1])) if last else 0.0
