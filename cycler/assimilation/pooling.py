"""Several estimates of nearly the same thing: what each has of its own, and what is chance."""

import numpy as np
import numpy.typing as npt

__all__ = ["pooled"]

FloatArray = npt.NDArray[np.float64]


def pooled(values: FloatArray, variance: npt.NDArray[np.floating]) -> FloatArray:
    """``values`` (k,), known to within ``variance`` (k,), pulled towards their mean as far as they differ by no more
    than that lets one expect.

    Random effects: values = mean + own + chance, the variance of what is own found by moments (DerSimonian and Laird
    1986), and each value's expectation given itself and the others.
    """
    weight = 1 / variance
    misfit = (weight * (values - np.average(values, weights=weight)) ** 2).sum()
    freedom = max(weight.sum() - (weight**2).sum() / weight.sum(), 1e-12)
    own = max((misfit - (len(values) - 1)) / freedom, 0.0)
    mean = np.average(values, weights=1 / (variance + own))
    return np.asarray(mean + own / (own + variance) * (values - mean))
