"""The scenario of the method's source: a state is seen on the emulator's coarse grid only and is to be resolved again.

The coarse operator is ``fields.coarsen``: exact spectral truncation of the state to the emulator's Gaussian grid. All
that it shows is believed exactly; nothing else is observed.

Members are drawn by ancestral sampling: given x at a noise level, a state y is drawn, and x at the next one given both.
y is no mean but a draw of N(D(x), V) on its coarse view, V the Gaussian's covariance, that guidance weighs by as well
(optimal variances: Bao et al. 2022, arXiv 2201.06503; conditioned path by path, Matheron's rule). So every step is
exact in a Gaussian world, however long it is. The flow without noise keeps from level to level what it could not know
at earlier ones, when the scales that small ones follow were not yet seen: its small scales follow the coarse state too
little (docs/methods.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.analysis import Settings
from dacycle.cycler.assimilation.fields import coarsen, positive, regrid
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.prior import load_prior
from dacycle.cycler.assimilation.sampler import sample
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.coarse_view import CoarseView
from dacycle.cycler.training.cubic import cubic
from dacycle.cycler.training.free_run import zonal_spectrum

__all__ = ["OPERATOR", "Refiner", "Resolved", "Resolver"]

FloatArray = npt.NDArray[np.float32]
OPERATOR = "spectral truncation to the emulator's grid"
CHUNK = 4
TOLERANCE, EXACT = 0.1, 0.003  # of the solver: for draws, where the next level corrects it; for the Gaussian's mean


class Refiner:
    """Gives coarse states the scales that their grid lacks, as the prior of a bundle has them."""

    def __init__(self, bundle: Bundle, steps: int | None = None) -> None:
        """``steps``: denoiser calls of a draw; None: as many as an analysis takes."""
        self._bundle, self._settings, self._prior = bundle, Settings("sda", steps), load_prior(bundle)
        std = torch.as_tensor(bundle.climatology.std)
        self._view = CoarseView(self._prior.gaussian, self._prior.balance, std, bundle.coarse)

    def refine(self, coarse: FloatArray, time: datetime, seed: int) -> FloatArray:
        """``coarse`` (N, channels, h, w) -> (N, channels, nlat, nlon), one draw for each."""
        chunks = [range(first, min(first + CHUNK, len(coarse))) for first in range(0, len(coarse), CHUNK)]
        drawn = [self._draw(self._values(coarse[list(chunk)], time), time, chunk, seed) for chunk in chunks]
        return np.asarray(np.concatenate(drawn), dtype=np.float32)

    @torch.no_grad()
    def gaussian_mean(self, coarse: FloatArray, time: datetime) -> FloatArray:
        """(channels, nlat, nlon): what the Gaussian prior expects of a state seen as ``coarse`` (channels, h, w)."""
        gaussian, values = self._prior.gaussian, self._values(coarse[None], time)
        nothing = torch.zeros(1, gaussian.channels, *gaussian.grid.shape)
        y = self._view.conditioned(nothing, values, gaussian.eigenvalues, EXACT)
        mean: FloatArray = self._states(self._view.exactly(y, values), time)[0]
        return mean

    def _values(self, coarse: FloatArray, time: datetime) -> Tensor:
        climatology = torch.as_tensor(self._bundle.climatology.mean(time))
        return self._view.values(torch.as_tensor(coarse) - regrid(climatology, self._bundle.grid, self._bundle.coarse))

    @torch.no_grad()
    def _draw(self, values: Tensor, time: datetime, numbers: Sequence[int], seed: int) -> FloatArray:
        """From a draw of the Gaussian's posterior under noise, level by level."""
        gaussian, view, denoiser = self._prior.gaussian, self._view, self._prior.at(time)
        ladder, _ = self._settings.plan()
        noises = [MemberNoise(seed, time, number + 1) for number in numbers]

        def coloured(eigenvalues: Tensor) -> Tensor:
            white = torch.stack([noise.draw((gaussian.channels, gaussian.harmonics.lmax**2)) for noise in noises])
            return gaussian.synthesise(gaussian.colour(white, eigenvalues))

        def unit() -> Tensor:
            return torch.stack([noise.draw((gaussian.channels, *gaussian.grid.shape)) for noise in noises]) / area

        def seen(y: Tensor, variances: Tensor) -> Tensor:
            return view.exactly(view.conditioned(y, values, variances, TOLERANCE), values)

        def drawn(x: Tensor, sigma: Tensor) -> Tensor:
            level, y = float(sigma[0]), denoiser(x, sigma)
            variances = gaussian.posterior_eigenvalues(sigma[0])
            return seen(y + coloured(variances) if level > ladder[-1] else y, variances)

        area = gaussian.weights.sqrt()
        x = seen(coloured(gaussian.eigenvalues), gaussian.eigenvalues) + ladder[0] * unit()
        return self._states(sample(drawn, x, ladder, solver="stochastic", noise=unit), time)

    def _states(self, y: Tensor, time: datetime) -> FloatArray:
        climatology = self._bundle.climatology
        states = self._prior.anomalies(y, self._bundle).numpy() * climatology.std + climatology.mean(time)
        return np.asarray(positive(self._bundle, states), dtype=np.float32)


@dataclass(frozen=True)
class Resolved:
    """RMSE per channel of cubic interpolation, of the Gaussian prior's exact posterior mean, and of the members' mean;
    ``energy`` of each member (members, channels, waves) and of the truth (channels, waves), by zonal wavenumber."""

    cubic: FloatArray
    gaussian: FloatArray
    prior: FloatArray
    energy: FloatArray
    energy_of_truth: FloatArray


class Resolver:
    """Resolves states whose coarse view is all that is known, and scores that."""

    def __init__(self, bundle: Bundle, members: int, steps: int) -> None:
        self.bundle, self.members = bundle, members
        self._refiner = Refiner(bundle, steps)

    def resolve(self, truth: FloatArray, time: datetime, seed: int = 0) -> Resolved:
        """Scores of one date; ``truth`` (channels, nlat, nlon)."""
        coarse = coarsen(self.bundle, truth)
        gaussian = self._refiner.gaussian_mean(coarse, time)
        # In antithetic pairs: what is linear in their noise cancels in the mean.
        members = self._refiner.refine(np.repeat(coarse[None], self.members, 0), time, seed)
        estimates = cubic(coarse, self.bundle.coarse, self.bundle.grid), gaussian, members.mean(0)
        rmse = [np.sqrt(self.bundle.grid.mean(np.square(e - truth, dtype=np.float64))) for e in estimates]
        energy = np.stack([zonal_spectrum(member, self.bundle.grid) for member in members])
        of_truth = zonal_spectrum(truth, self.bundle.grid)
        return Resolved(*(np.asarray(row, dtype=np.float32) for row in (*rmse, energy, of_truth)))
