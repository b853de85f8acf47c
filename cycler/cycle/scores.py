"""Scores of an ensemble against values: at withheld stations, and against gridded truth.

    rmse    of the ensemble mean
    spread  square root of the mean unbiased variance
    crps    mean |x_i - y| - sum_ij |x_i - x_j| / (2 N (N-1)), which is fair: it does not reward small ensembles
    rank    how many members lie below the value, 0 to N

At stations every member gets a draw of the observation error before ranks and CRPS, for that is what a value holds.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["Pairs", "Scores", "score"]

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Scores:
    """Of one channel, in its units; None where it cannot be known, as the spread of one member."""

    n: int
    rmse_analysis: float
    rmse_background: float | None
    rmse_climatology: float
    crps_analysis: float | None
    spread: float | None
    ranks: list[int] | None


@dataclass
class Pairs:
    """Values of one channel with what was said of them, gathered over cycles.

    Each list holds one entry per cycle: value, climatology, weight (n,); analysis (N, n); background mean (n,).
    """

    value: list[FloatArray] = field(default_factory=list)
    climatology: list[FloatArray] = field(default_factory=list)
    weight: list[FloatArray] = field(default_factory=list)
    analysis: list[FloatArray] = field(default_factory=list)
    error: list[FloatArray] = field(default_factory=list)
    background: list[tuple[FloatArray, FloatArray, FloatArray]] = field(default_factory=list)

    def add(
        self,
        value: FloatArray,
        analysis: FloatArray,
        background: FloatArray | None,
        climatology: FloatArray,
        weight: FloatArray,
        error: FloatArray,
    ) -> None:
        """One cycle's values; ``error`` (N, n): draws of the observation error, zero against truth."""
        self.value.append(value)
        self.analysis.append(analysis)
        self.climatology.append(climatology)
        self.weight.append(weight)
        self.error.append(error)
        if background is not None:
            self.background.append((background, value, weight))


def score(pairs: Pairs) -> Scores:
    """All scores of a channel. Cycles with other ensemble sizes than the last count in the means alone."""
    means = [a.mean(0) for a in pairs.analysis]
    weight = np.concatenate(pairs.weight)
    value = np.concatenate(pairs.value)
    background = None
    if pairs.background:
        b, y, w = (np.concatenate(parts) for parts in zip(*pairs.background, strict=True))
        background = _rmse(b, y, w)
    members = len(pairs.analysis[-1])
    alike = [k for k, a in enumerate(pairs.analysis) if len(a) == members]
    ensemble = np.concatenate([pairs.analysis[k] for k in alike], 1)
    blurred = ensemble + np.concatenate([pairs.error[k] for k in alike], 1)
    told = np.concatenate([pairs.value[k] for k in alike])
    weights = np.concatenate([pairs.weight[k] for k in alike])
    several = members > 1
    spread = float(np.sqrt(np.average(ensemble.var(0, ddof=1, dtype=np.float64), weights=weights))) if several else None
    return Scores(
        n=len(value),
        rmse_analysis=_rmse(np.concatenate(means), value, weight),
        rmse_background=background,
        rmse_climatology=_rmse(np.concatenate(pairs.climatology), value, weight),
        crps_analysis=float(np.average(_crps(blurred, told), weights=weights)) if several else None,
        spread=spread,
        ranks=np.bincount((blurred < told).sum(0), minlength=members + 1).tolist() if several else None,
    )


def _rmse(estimate: FloatArray, value: FloatArray, weight: FloatArray) -> float:
    return float(np.sqrt(np.average((estimate.astype(np.float64) - value) ** 2, weights=weight)))


def _crps(ensemble: FloatArray, value: FloatArray) -> FloatArray:
    """(n,) fair CRPS; the double sum over sorted members is sum_i (2 i - N - 1) x_i, i from 1."""
    members = len(ensemble)
    ordered = np.sort(ensemble, axis=0)
    ranks = 2 * np.arange(1, members + 1)[:, None] - members - 1
    among = (ranks * ordered).sum(0) / (members * (members - 1))
    return np.asarray(np.abs(ensemble - value).mean(0) - among)
