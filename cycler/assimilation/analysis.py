"""Drawing members of an analysis ensemble: the one entry for the cycle.

A member starts from an exact sample of the *Gaussian* posterior (prior covariance, soundings and forecast together, by
perturbed observations), is noised to the level at which the network has something to add, and follows the guided flow
down. Where the prior is Gaussian this start is already exact, at any level; where it is not, the network reshapes what
lies below it. That replaces the long way from pure noise.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.fields import lift
from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.guidance import SpectralGuidance
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.points import point_operator
from dacycle.cycler.assimilation.prior import DiffusionPrior, load_prior
from dacycle.cycler.assimilation.sampler import karras_ladder, sample
from dacycle.cycler.bundle import Bundle
from dacycle.errors import ConfigError
from dacycle.obs.batch import ObservationBatch

__all__ = ["METHODS", "Analyst", "Settings"]

FloatArray = npt.NDArray[np.float32]
METHODS = ("sda", "sda-jacobian-free", "oi")
SMALLEST_LEVEL = 0.03


@dataclass(frozen=True)
class Settings:
    """``method``: one of METHODS; ``steps``: denoiser calls; ``start_level``: noise level where the network begins."""

    method: str = "sda"
    steps: int = 16
    start_level: float = 5.0


class Analyst:
    """Holds a bundle's prior and draws members with it."""

    def __init__(self, bundle: Bundle, settings: Settings, device: str = "cpu") -> None:
        if settings.method not in METHODS:
            raise ConfigError(
                f"assimilation method {settings.method!r} is unknown; expected one of {', '.join(METHODS)}"
            )
        self.bundle, self.settings, self.device = bundle, settings, device
        self.prior: DiffusionPrior = load_prior(bundle, device)
        self._slope = torch.as_tensor(bundle.forecast_slope, device=device)
        self._error = torch.as_tensor(bundle.forecast_error, device=device)
        self._kept: tuple[tuple[datetime, bytes], Conditioner] | None = None
        self._std = torch.as_tensor(bundle.climatology.std, device=device)

    def draw(
        self,
        time: datetime,
        batch: ObservationBatch,
        forecast: FloatArray | None,
        members: Sequence[int],
        seed: int,
        check: Callable[[], None] = lambda: None,
    ) -> FloatArray:
        """Members (len(members), channels, nlat, nlon), physical units, of the analysis at ``time``.

        ``batch``: only its values still to be assimilated enter. ``forecast`` (N, channels, h, w): all emulator
        members, of which the mean is observed. Each member's noise derives from (seed, time, member) alone.
        """
        system = self.system(time, batch, forecast)
        noises = [MemberNoise(seed, time, member) for member in members]
        with torch.no_grad():
            x = gaussian_posterior(system, noises)
            if self.settings.method != "oi":
                white = torch.stack([noise.draw(x.shape[1:]) for noise in noises]).to(self.device)
                x = x + self.settings.start_level * white / self.prior.gaussian.weights.sqrt()
                ladder = karras_ladder(self.settings.start_level, SMALLEST_LEVEL, self.settings.steps)
                guidance = SpectralGuidance(self.prior.gaussian, self.settings.method == "sda-jacobian-free")
                x = sample(guidance.guide(self.prior.at(time), system.observations), x, ladder, check)
            states = (x * self._std).cpu().numpy() + self.bundle.climatology.mean(time)
        for k, c in enumerate(self.bundle.channels):
            if c.variable == "q":
                states[:, k] = np.maximum(states[:, k], 0.0)
        return np.asarray(states, dtype=np.float32)

    def system(self, time: datetime, batch: ObservationBatch, forecast: FloatArray | None) -> Conditioner:
        """The Gaussian prior's system, the last one kept: its factor serves all chunks of a cycle."""
        used = batch.assimilated
        seen = [used.channel, used.lat, used.lon, used.value, used.sigma] + ([] if forecast is None else [forecast])
        key = time, hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in seen)).digest()
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # let go of the old factor before the new one is made
            gaussian = self.prior.gaussian
            observations = self.observations(time, used, forecast)
            self._kept = key, Conditioner(gaussian, gaussian.covariance, gaussian.rest, observations)
        return self._kept[1]

    def observations(self, time: datetime, batch: ObservationBatch, forecast: FloatArray | None) -> Observations:
        """Soundings and forecast as operators on the normalised state."""
        points, innovation = point_operator(self.bundle, self.prior.gaussian, batch, time)
        term = None
        if forecast is not None:
            anomaly = lift(self.bundle, forecast.mean(0), time) - self.bundle.climatology.mean(time)
            normalised = torch.as_tensor(anomaly, device=self.device) / self._std
            term = ForecastTerm(self.prior.gaussian, self._slope, self._error, normalised)
        return Observations(points, innovation, term)


def gaussian_posterior(system: Conditioner, members: Sequence[MemberNoise]) -> Tensor:
    """One exact draw per member of the Gaussian posterior (m, channels, nlat, nlon); ``system``: that of the prior.

    Conditioning by perturbed observations: a draw of the prior, moved by the gain times what the perturbed
    observations say of it, is a draw of the posterior.
    """
    prior, observations = system.prior, system.observations
    device = prior.rest.device

    def white(shape: Sequence[int]) -> Tensor:
        return torch.stack([noise.draw(shape) for noise in members]).to(device)

    a = prior.colour(white((prior.channels, prior.harmonics.lmax**2)))
    field = prior.synthesise(a)
    r_o = observations.innovation + white((len(observations.points),)) - observations.points.apply(field)
    term, r_f = observations.forecast, None
    if term is not None:
        r_f = term.values + term.variance.sqrt() * white(term.variance.shape) - term.apply(a)
    weights = system.solve((r_o, r_f), tolerance=None)
    return prior.synthesise(a + weights.increment)
