"""How far zonal means of a bundle's own world depart from its climatology, beyond what its covariance says of them.

A covariance per degree gives a zonal pattern the variance of any other pattern of its degree. The annular modes of an
atmosphere have several times of it, and a climatology of a few runs is off by some. Nobody should take either for the
bias of another climate (``assimilation/adapt.py``).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.adaptation import ZONAL_DEGREES, zonal_basis
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.dataset import Dataset, state

__all__ = ["measured_zonal_variance", "zonal_coefficients"]

EVERY = 4  # of the frames, a day


def measured_zonal_variance(
    climate: GaussianPrior, bundle: Bundle, natures: Sequence[Dataset]
) -> npt.NDArray[np.float32]:
    """(channels, ZONAL_DEGREES): mean square of the coefficients of the ``zonal_basis`` over ``natures``, less what
    ``climate``, the Gaussian prior of anomalies, gives them; none below zero. Every run counts the same."""
    runs = []
    for nature in natures:
        rows = []
        for number in range(0, len(nature.times), EVERY):
            mean = bundle.climatology.mean(nature.times[number])
            rows.append(zonal_coefficients(bundle, state(nature, bundle.channels, number) - mean))
        runs.append(np.square(rows).mean(0))
    isotropic = climate.covariance[:ZONAL_DEGREES].diagonal(dim1=1, dim2=2).cpu().numpy().T
    # A harmonic of order zero has the variance of its degree, and a coefficient of e_l the norm of its field.
    norms = bundle.grid.mean(np.square(zonal_basis(bundle.grid.lat))[..., None])
    found = np.mean(runs, 0)
    found[:, : isotropic.shape[1]] -= isotropic / (bundle.climatology.std[0].size * norms[: isotropic.shape[1]])
    return np.asarray(found.clip(0), dtype=np.float32)


def zonal_coefficients(bundle: Bundle, anomaly: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Of the zonal mean of an ``anomaly`` (channels, nlat, nlon) over the bundle's standard deviation, by least squares
    over the globe: (channels, ZONAL_DEGREES)."""
    basis = zonal_basis(bundle.grid.lat)
    rows = (anomaly / bundle.climatology.std).mean(-1)
    weighed = basis * bundle.grid.weights
    return np.asarray(np.linalg.solve(weighed @ basis.T, weighed @ rows.T).T, dtype=np.float64)
