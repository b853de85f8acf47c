"""Weights of the Adams-Bashforth rules for the probability flow on any ladder of noise levels.

In t = 1 / sigma the flow reads d(x / sigma) / dt = D. Wanted is the mean of D over t between two levels, with D the
polynomial in ln sigma through the newest calls: the exponential form of the rule, exact for such a D however large the
step (Hochbruck and Ostermann 2010, section 2.4).
"""

import numpy as np

__all__ = ["mean_over_step"]

# Gauss-Legendre points on the step; the integrand is a polynomial times an exponential over a moderate interval.
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(16)


def mean_over_step(levels: list[float], target: float) -> list[float]:
    """Weights, one per entry of ``levels`` (decreasing, the newest last), of the mean of D from ``levels[-1]`` down to
    ``target``; they add up to one."""
    nodes = -np.log(levels)
    start, end = nodes[-1], -np.log(target)
    at = start + (end - start) * (POINTS + 1) / 2
    density = WEIGHTS * np.exp(at - start)  # dt = d(1 / sigma) = exp(at) d(at)
    density /= density.sum()
    weights = []
    for k, node in enumerate(nodes):
        others = np.delete(nodes, k)
        basis = np.prod((at[:, None] - others) / (node - others), axis=1)
        weights.append(float((density * basis).sum()))
    return weights
