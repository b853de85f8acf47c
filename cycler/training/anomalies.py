"""What a covariance of the prior's variables is in normalised anomalies, per degree, on average over places.

The balance between heights and winds (``assimilation/balance.py``) differs from place to place and moves variance
between degrees. With the matrices M that it is between the coefficients of a variable s and those of an anomaly c,

    cov(x_c, x_d) of degree k  =  sum over s, t and l of P_l(s, t) S_kl / (2 k + 1),

S the sum over the orders of both degrees of the product of the elements of M of (c, s) and of (d, t).
"""

from functools import cached_property
from itertools import combinations_with_replacement, product

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.prior import DiffusionPrior

__all__ = ["Anomalies", "as_array"]

PART = 64


class Anomalies:
    """Of a ``prior``, for covariances of ``degrees`` (of both)."""

    def __init__(self, prior: DiffusionPrior, degrees: int) -> None:
        self._prior, self._degrees = prior, degrees

    def __call__(self, covariance: Tensor) -> Tensor | None:
        """``covariance`` (degrees, channels, channels), of scaled coefficients of the prior's variables; the same of
        normalised anomalies. None where these are the same variables."""
        if self._prior.balance is None:
            return None
        result = torch.empty_like(covariance)
        for c, d in combinations_with_replacement(range(self._prior.gaussian.channels), 2):
            shares = self._shares[c, d]
            found = sum((share @ covariance[:, s, t] for (s, t), share in shares.items()), torch.zeros(()))
            result[:, c, d] = result[:, d, c] = found
        return result

    def of_nodes(self, covariances: Tensor) -> Tensor | None:
        """The same for every one of ``covariances`` (nodes, degrees, channels, channels)."""
        found = [each for covariance in covariances if (each := self(covariance)) is not None]
        return torch.stack(found) if found else None

    @cached_property
    def _shares(self) -> dict[tuple[int, int], dict[tuple[int, int], Tensor]]:
        """For two anomalies, and two variables: S_kl / (2 k + 1), (degrees, degrees)."""
        degree = self._prior.gaussian.harmonics.degree[: self._degrees**2]
        modes = 2.0 * torch.arange(self._degrees) + 1
        found: dict[tuple[int, int], dict[tuple[int, int], Tensor]] = {}
        matrices = self._matrices()
        for c, d in combinations_with_replacement(range(self._prior.gaussian.channels), 2):
            found[c, d] = {}
            for (s, one), (t, other) in product(matrices[c].items(), matrices[d].items()):
                rows = torch.zeros(self._degrees, len(degree)).index_add_(0, degree, one * other)
                summed = torch.zeros(self._degrees, self._degrees).index_add_(1, degree, rows)
                found[c, d][s, t] = summed / modes[:, None]
        return found

    def _matrices(self) -> list[dict[int, Tensor]]:
        """For each anomaly, and each variable that it has something of: M (degrees^2, degrees^2)."""
        gaussian, balance, count = self._prior.gaussian, self._prior.balance, self._degrees**2
        assert balance is not None
        unit = torch.eye(count)
        found = [{c: unit} for c in range(gaussian.channels)]
        for source in sorted({*balance.winds, *balance.heights}):
            moved = [w for w, z in zip(balance.winds, balance.heights, strict=True) if source in (w, z)]
            columns = []
            for part in torch.split(unit, PART):
                a = torch.zeros(len(part), gaussian.harmonics.lmax**2)
                a[:, :count] = part
                y = torch.zeros(len(part), gaussian.channels, *gaussian.grid.shape)
                y[:, source] = gaussian.synthesise(a)
                columns.append(gaussian.analyse(balance.state(y)[:, moved])[..., :count])
            for k, w in enumerate(moved):
                found[w][source] = torch.cat(columns)[:, k].T.contiguous()
        return found


def as_array(covariance: Tensor | None) -> npt.NDArray[np.float32] | None:
    """As a bundle has it."""
    return None if covariance is None else covariance.numpy()
