"""The scenario of the method's source: a state is seen on the emulator's coarse grid only and is to be resolved again.

The coarse operator is ``fields.coarsen``: exact spectral truncation of the state to the emulator's Gaussian grid. It
enters as a forecast does, with a small error: every degree it resolves is known to ERROR_SHARE of its variance.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import coarsen
from dacycle.cycler.assimilation.prior import load_prior
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.ingest import empty_batch
from dacycle.cycler.training.cubic import cubic
from dacycle.cycler.training.prior_scores import spectral_ratio

__all__ = ["OPERATOR", "Refiner", "Resolved", "Resolver"]

FloatArray = npt.NDArray[np.float32]
OPERATOR = "spectral truncation to the emulator's grid"
ERROR_SHARE = 0.01
CHUNK = 4


@dataclass(frozen=True)
class Resolved:
    """RMSE per channel of cubic interpolation, of the Gaussian prior's exact posterior mean, and of the members' mean;
    ``spectra``: energy of the members relative to truth (channels, waves)."""

    cubic: FloatArray
    gaussian: FloatArray
    prior: FloatArray
    spectra: FloatArray


class Resolver:
    """Holds the prior of a bundle and the operator."""

    def __init__(self, bundle: Bundle, members: int, steps: int) -> None:
        seen = _believing(bundle)
        self.bundle, self.members = bundle, members
        self._network = Analyst(seen, Settings("sda", steps))
        self._gaussian = Analyst(seen, Settings("oi"))

    def resolve(self, truth: FloatArray, time: datetime, seed: int = 0) -> Resolved:
        """Scores of one date; ``truth`` (channels, nlat, nlon)."""
        coarse = coarsen(self.bundle, truth[None])
        batch = empty_batch(time)
        # Members 1 and 2 are an antithetic pair: for a Gaussian prior their mean is the posterior mean itself.
        gaussian = self._gaussian.draw(time, batch, coarse, (1, 2), seed).mean(0)
        numbers = range(1, self.members + 1)
        chunks = [numbers[k : k + CHUNK] for k in range(0, self.members, CHUNK)]
        members = np.concatenate([self._network.draw(time, batch, coarse, chunk, seed) for chunk in chunks])
        estimates = cubic(coarse, self.bundle.coarse, self.bundle.grid)[0], gaussian, members.mean(0)
        rmse = [np.sqrt(self.bundle.grid.mean(np.square(e - truth, dtype=np.float64))) for e in estimates]
        spectra = spectral_ratio(members, truth[None], self.bundle.grid)
        return Resolved(*(np.asarray(row, dtype=np.float32) for row in (*rmse, spectra)))


class Refiner:
    """Gives each member of a coarse ensemble the scales that its grid lacks, drawn from the prior of a bundle."""

    def __init__(self, bundle: Bundle, steps: int | None = None) -> None:
        self._network = Analyst(_believing(bundle), Settings("sda", steps))

    def refine(self, coarse: FloatArray, time: datetime, seed: int) -> FloatArray:
        """``coarse`` (N, channels, h, w) -> (N, channels, nlat, nlon), one draw for each member."""
        batch = empty_batch(time)
        drawn = [self._network.draw(time, batch, each[None], (k + 1,), seed) for k, each in enumerate(coarse)]
        return np.concatenate(drawn)


def _believing(bundle: Bundle) -> Bundle:
    """The bundle with forecasts that are known to ERROR_SHARE."""
    degrees, n = min(bundle.coarse.shape), len(bundle.channels)
    covariance = load_prior(bundle).gaussian.covariance[:degrees].numpy()
    return replace(
        bundle,
        forecast_slope=np.broadcast_to(np.eye(n, dtype=np.float32), (degrees, n, n)).copy(),
        forecast_error=np.asarray(ERROR_SHARE * covariance, dtype=np.float32),
        analysis_inflation=np.zeros(degrees, np.float32),  # known of analyses of soundings only
    )
