"""The scenario of the method's source: a state is seen on the emulator's coarse grid only and is to be resolved again.

The coarse operator is ``fields.coarsen``: exact spectral truncation of the state to the emulator's Gaussian grid. All
that it shows is believed exactly; nothing else is observed.
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
TOLERANCE, EXACT = 0.1, 0.003  # of the solver: on the way, where the next level corrects it; for the Gaussian's mean


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
        y, _ = self._view.conditioned(nothing, values, gaussian.eigenvalues, EXACT)
        mean: FloatArray = self._states(self._view.exactly(y, values), time)[0]
        return mean

    def _values(self, coarse: FloatArray, time: datetime) -> Tensor:
        climatology = torch.as_tensor(self._bundle.climatology.mean(time))
        return self._view.values(torch.as_tensor(coarse) - regrid(climatology, self._bundle.grid, self._bundle.coarse))

    @torch.no_grad()
    def _draw(self, values: Tensor, time: datetime, numbers: Sequence[int], seed: int) -> FloatArray:
        """As an analysis does: from a draw of the Gaussian's posterior, under noise, down the guided flow."""
        gaussian, view, denoiser = self._prior.gaussian, self._view, self._prior.at(time)
        noises = [MemberNoise(seed, time, number + 1) for number in numbers]

        def white(*shape: int) -> Tensor:
            return torch.stack([noise.draw(shape) for noise in noises])

        weights: Tensor | None = None

        def guided(x: Tensor, sigma: Tensor) -> Tensor:
            nonlocal weights
            variances = gaussian.posterior_eigenvalues(sigma[0])
            y, weights = view.conditioned(denoiser(x, sigma), values, variances, TOLERANCE, weights)
            return view.exactly(y, values)

        ladder, solver = self._settings.plan()
        y = gaussian.synthesise(gaussian.colour(white(gaussian.channels, gaussian.harmonics.lmax**2)))
        y, _ = view.conditioned(y, values, gaussian.eigenvalues, TOLERANCE)
        noise = white(gaussian.channels, *gaussian.grid.shape) / gaussian.weights.sqrt()
        return self._states(sample(guided, y + ladder[0] * noise, ladder, solver=solver), time)

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
