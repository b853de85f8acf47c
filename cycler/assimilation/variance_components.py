"""Variances of the parts of an innovation, by maximum likelihood.

An innovation d, observation minus what was expected, has the covariance

    S(theta) = F + sum_j exp(theta_j) K_j

with parts K_j of known shape (the errors of the background, of the observations, ...) and unknown size. Fisher scoring
(Dee 1995 and Dee and da Silva 1999 estimate error variances from innovations so; Patterson and Thompson 1971 for the
algorithm):

    g_j = 1/2 (d' S^-1 K_j S^-1 d - tr S^-1 K_j) exp(theta_j),   F_jk = 1/2 tr(S^-1 K_j S^-1 K_k) exp(theta_j + theta_k)

What is known from before enters as a Gaussian of theta with the information (inverse covariance) gathered so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Estimate", "estimate", "score"]

FloatArray = npt.NDArray[np.float64]
LONGEST_STEP = 1.0  # in ln variance: the quadratic model holds no further
SETTLED = 0.01


@dataclass(frozen=True)
class Estimate:
    """``theta`` (k,): logarithms of the variances; ``information`` (k, k): what this innovation alone says of them."""

    theta: FloatArray
    information: FloatArray


def estimate(
    innovation: Tensor,
    parts: Sequence[Tensor],
    fixed: Tensor | None,
    known: Estimate,
    bounds: FloatArray,
    weight: float = 1.0,
    iterations: int = 20,
) -> Estimate:
    """The most probable theta given ``innovation`` (n,) and what is ``known``, within ``bounds`` (k, 2).

    ``parts``: K_j, and ``fixed``: F, each (n, n). ``weight``: how much of an independent sample the innovation is.
    """
    d = innovation.double()
    matrices = [part.double() for part in parts]
    start, theta = known.theta, known.theta.copy()
    information = np.zeros_like(known.information)
    for _ in range(iterations):
        total = sum((np.exp(t) * k for t, k in zip(theta, matrices, strict=True)), torch.zeros_like(matrices[0]))
        total = total if fixed is None else total + fixed.double()
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(total))
        z = inverse @ d
        shares = [float(np.exp(t)) * (inverse @ k) for t, k in zip(theta, matrices, strict=True)]
        pull = [float(np.exp(t)) * float(z @ (k @ z)) for t, k in zip(theta, matrices, strict=True)]
        gradient = np.array([p - float(s.trace()) for p, s in zip(pull, shares, strict=True)]) / 2
        information = np.array([[float((s * t.T).sum()) / 2 for t in shares] for s in shares])
        slope = weight * gradient - known.information @ (theta - start)
        step = np.linalg.solve(weight * information + known.information, slope)
        moved = np.clip(theta + np.clip(step, -LONGEST_STEP, LONGEST_STEP), bounds[:, 0], bounds[:, 1])
        change, theta = np.abs(moved - theta).max(), moved
        if change < SETTLED:
            break
    return Estimate(theta, weight * information)


def score(departure: Tensor, part: Tensor, rest: Tensor, log: float) -> tuple[float, float]:
    """g and F of the ``log`` of one ``part``'s size, for a ``departure`` (n,) with a known ``rest`` (n, n)."""
    sized = float(np.exp(log)) * part.double()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(sized + rest.double()))
    z, share = inverse @ departure.double(), inverse @ sized
    return float(z @ sized @ z - share.trace()) / 2, float((share * share.T).sum()) / 2
