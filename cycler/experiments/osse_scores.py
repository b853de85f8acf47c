"""Scores of one analysis against the gridded truth, on both grids, and their summary over times."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.fields import coarsen
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.experiments.scores import FloatArray
from dacycle.emulators.grid import Grid

__all__ = [
    "Interval",
    "Moment",
    "both_grids",
    "difference",
    "expected_ranks",
    "expected_square",
    "fair_crps",
    "interval",
    "joint_intervals",
    "moment",
    "rank_contrasts",
    "ranked_places",
]

Series = npt.NDArray[np.float64]
Interval = tuple[float, float, float]
"""A mean, and the ends of what it may be."""
RANKED_PLACES = 500  # nearly uniform over the sphere; neighbouring grid points would count the same error again
DRAWS = 2000
BLOCK = 8  # analysis times that are drawn together: errors of neighbouring times are alike


@dataclass(frozen=True)
class Moment:
    """Of one time and grid, each (channels,): mean square error of the ensemble mean, CRPS, and ``expected``, what the
    square error would be on average if the truth were drawn from where the members are; and ``ranks`` (channels,
    N + 1), how often so many members lay below the truth."""

    square: Series
    crps: Series
    expected: Series
    ranks: npt.NDArray[np.int64]


def moment(grid: Grid, states: FloatArray, exact: FloatArray) -> Moment:
    """``states`` (N, channels, nlat, nlon) against ``exact`` (channels, nlat, nlon), area-weighted."""
    n = len(states)
    places = ranked_places(grid)
    below = (states.reshape(*states.shape[:2], -1)[..., places] < exact.reshape(len(exact), -1)[:, places]).sum(0)
    return Moment(
        grid.mean(np.square(states.mean(0, dtype=np.float64) - exact)),
        grid.mean(fair_crps(states, exact)),
        grid.mean(expected_square(states)) if n > 1 else np.zeros(len(exact)),
        np.stack([np.bincount(row, minlength=n + 1) for row in below]),
    )


def both_grids(bundle: Bundle, states: FloatArray, exact: FloatArray) -> tuple[Moment, Moment]:
    """On the analysis grid and on the emulator's."""
    small = moment(bundle.coarse, coarsen(bundle, states), coarsen(bundle, exact[None])[0])
    return moment(bundle.grid, states, exact), small


def ranked_places(grid: Grid) -> npt.NDArray[np.int64]:
    """Flat indices of grid points near those of a Fibonacci lattice of RANKED_PLACES points."""
    k = np.arange(RANKED_PLACES)
    lat = np.rad2deg(np.arcsin(1 - (2 * k + 1) / RANKED_PLACES))
    lon = np.mod(k * 180.0 * (3 - np.sqrt(5)), 360.0)
    row = np.abs(grid.lat[:, None] - lat).argmin(0)
    column = np.rint(lon / 360.0 * grid.shape[1]).astype(np.int64) % grid.shape[1]
    return np.asarray(np.unique(row * grid.shape[1] + column))


def expected_square(states: FloatArray) -> Series:
    """Of the mean of ``states`` (N, ...), N > 1, per point: the variance of one member and that of the mean.

    Members may be antithetic pairs (1 and 2, 3 and 4, ...), whose mean varies less than that of independent ones; so
    both variances are taken from the pairs. For independent members the result is (N + 1) / N times their variance.
    """
    if len(states) % 2:
        return np.asarray(states.var(0, ddof=1, dtype=np.float64) * (1 + 1 / len(states)))
    pairs = states.reshape(-1, 2, *states.shape[1:]).astype(np.float64)
    within = np.square(pairs[:, 0] - pairs[:, 1]).mean(0) / 4
    means = pairs.mean(1)
    between = means.var(0, ddof=1) if len(means) > 1 else within  # as of two independent members
    return np.asarray(within + between * (1 + 1 / len(means)))


def fair_crps(states: FloatArray, exact: FloatArray) -> FloatArray:
    """Continuous ranked probability score per point, unbiased in ensemble size (Ferro 2014): the absolute error of one
    member alone, else mean |x - y| minus half the mean |x - x'| over different members. Members of one antithetic pair
    (1 and 2, 3 and 4, ...) differ by more than two draws do: they are not compared with each other."""
    n = len(states)
    score: FloatArray = np.abs(states - exact).mean(0)
    if n == 1:
        return score
    ordered = np.sort(states, 0)
    ranks = (2 * np.arange(n) - n + 1).reshape(-1, *[1] * exact.ndim)
    distances, count = (ranks * ordered).sum(0), n * (n - 1) / 2
    if n > 2 and n % 2 == 0:
        distances, count = distances - np.abs(states[0::2] - states[1::2]).sum(0), count - n / 2
    return np.asarray(score - distances / count / 2, dtype=np.float32)


def expected_ranks(members: int) -> Series:
    """Shares (N + 1,) of the ranks of a truth among N members that are drawn as it is, in antithetic pairs where N is
    even: of n pairs each has one member on either side of the middle, and the truth's distance from there has n + 1
    equally likely ranks among theirs, the first of them on both sides of the middle."""
    shares = np.full(members + 1, 1 / (members + 1))
    if members % 2 == 0:
        shares[:] = 1 / (members + 2)
        shares[members // 2] *= 2
    return shares


def rank_contrasts(ranks: npt.NDArray[np.int64]) -> tuple[Series, Series]:
    """``slope`` and ``bend`` of rank histograms (..., N + 1), each (...), zero on average for members that are drawn as
    the truth is (Jolliffe and Primo 2008, with polynomials that are orthonormal under ``expected_ranks``).

    slope: above zero where the truth lies above the members too often; bend: above zero for a U, members that spread
    too little, below for a dome. Of a histogram with twice the expected share in every rank of the upper half and
    nothing below, the slope is 0.87 for many members.
    """
    share = ranks / ranks.sum(-1, keepdims=True)
    expected = expected_ranks(ranks.shape[-1] - 1)
    distance = np.arange(len(expected)) - (len(expected) - 1) / 2
    square = np.square(distance)
    linear = distance / np.sqrt(expected @ square)
    quadratic = square - expected @ square
    quadratic = quadratic / np.sqrt(expected @ np.square(quadratic))
    return share @ linear, share @ quadratic


def difference(ours: Sequence[float] | Series, theirs: Sequence[float] | Series) -> Interval:
    """Mean of ``theirs - ours`` over the same times, and its 95 % interval."""
    return interval(np.asarray(theirs, float) - np.asarray(ours, float))


def interval(series: Series) -> Interval:
    """The mean of a series (n,) of analysis times, and its 95 % interval by a moving-block bootstrap."""
    departures = _departures(series[:, None])[:, 0]
    mean = float(series.mean())
    low, high = np.quantile(departures, [0.025, 0.975])
    return mean, float(mean + low), float(mean + high)


def joint_intervals(series: Series) -> list[Interval]:
    """The means of several series (n, columns), and intervals that with a probability of 95 % hold all of them at once:
    by the largest departure among the columns, each in standard deviations of its own. Those are known from a few
    blocks, so departures are spread as Student's t is with one degree of freedom less than there are blocks."""
    departures, means = _departures(series), series.mean(0)
    deviation = departures.std(0)
    freedom = max(len(series) / _block(len(series)) - 1, 1)
    student = np.sqrt(freedom / np.random.default_rng(1).chisquare(freedom, departures.shape))
    largest = np.quantile(np.abs(departures / np.maximum(deviation, 1e-300) * student).max(1), 0.95)
    return [(float(m), float(m - largest * d), float(m + largest * d)) for m, d in zip(means, deviation, strict=True)]


def _block(times: int) -> int:
    return min(BLOCK, max(times // 4, 1))


def _departures(series: Series) -> Series:
    """Of the mean of ``series`` (n, columns) in DRAWS of its blocks (DRAWS, columns), around zero.

    Blocks of a short series vary less than the mean does; the departures are widened for it (Lahiri 2003, chapter 3).
    """
    n = len(series)
    length = _block(n)
    rng = np.random.default_rng(0)
    starts = rng.integers(0, n - length + 1, (DRAWS, -(-n // length)))
    drawn = series[(starts[..., None] + np.arange(length)).reshape(DRAWS, -1)[:, :n]].mean(1)
    return np.asarray((drawn - drawn.mean(0)) * np.sqrt(n / max(n - length, 1)))
