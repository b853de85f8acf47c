"""Drawing members of an analysis ensemble: the one entry for the cycle.

A member starts from an exact sample of the *Gaussian* posterior (prior covariance, soundings and forecast together, by
perturbed observations), is noised to the level at which the network has something to add, and follows the guided flow
down. Where the prior is Gaussian this start is already exact, at any level; where it is not, the network reshapes what
lies below it. That replaces the long way from pure noise.

A trained network is surer of itself than its errors allow, more so where it has seen little. What its members lack in
spread, as cycling against a truth says (``Bundle.analysis_inflation``), is added as deviations drawn from the Gaussian
posterior: balanced, large where observations are few, and without effect on the mean of a pair of members.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.ageing import YOUNG, Age, aged
from dacycle.cycler.assimilation.baselines import free_run, letkf
from dacycle.cycler.assimilation.bias_patterns import felt, felt_with_forecast, showing
from dacycle.cycler.assimilation.bias_term import BiasTerm
from dacycle.cycler.assimilation.error_level import ErrorLevel
from dacycle.cycler.assimilation.fields import lift, positive
from dacycle.cycler.assimilation.forecast_term import ForecastTerm, SpectralTerm
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.guidance import guidance
from dacycle.cycler.assimilation.local_error import local_weights
from dacycle.cycler.assimilation.local_term import LocalTerm
from dacycle.cycler.assimilation.methods import METHODS, LetkfSettings, denoiser_calls, known_method, known_solver
from dacycle.cycler.assimilation.model_term import ModelField, combined
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.points import point_operator
from dacycle.cycler.assimilation.posterior import deviation_fields, gaussian_posterior
from dacycle.cycler.assimilation.prior import HIGHEST_LEVEL, DiffusionPrior, Precision, load_prior
from dacycle.cycler.assimilation.sampler import geometric_ladder, karras_ladder, sample
from dacycle.cycler.assimilation.small_scales import SmallScales
from dacycle.cycler.bundle import Bundle
from dacycle.errors import ConfigError
from dacycle.obs.batch import ObservationBatch

__all__ = ["PUBLISHED_LEVELS", "SMALLEST_LEVEL", "Analyst", "Settings"]

FloatArray = npt.NDArray[np.float32]
DEFAULT = "sda"
SMALLEST_LEVEL = 0.03
PUBLISHED_LEVELS = HIGHEST_LEVEL, 0.002  # Karras et al. 2022, with 80 for the largest


@dataclass(frozen=True)
class Settings:
    """``method``: one of METHODS; ``steps``: denoiser calls; ``start_level``: noise level where the network begins.

    ``solver``: one of SOLVERS; it and ``steps`` are the method's own where None. ``levels``: a ladder of decreasing
    noise levels of one's own, in place of ``steps`` and ``start_level``.
    """

    method: str = "sda"
    steps: int | None = None
    start_level: float = 5.0
    solver: str | None = None
    levels: tuple[float, ...] = ()
    letkf: LetkfSettings = field(default_factory=LetkfSettings)

    def __post_init__(self) -> None:
        try:
            known_method(self.method)
            known_solver(self.solver or METHODS[self.method].solver)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    @property
    def calls(self) -> int:
        """Denoiser calls per member, however they were given."""
        return denoiser_calls(self.method, self.steps, self.levels)

    def plan(self) -> tuple[list[float], str]:
        """The ladder, of as many levels as ``steps`` calls of the denoiser allow, and the solver."""
        method = METHODS[self.method]
        solver = self.solver or method.solver
        if self.levels:
            return list(self.levels), solver
        steps = (self.calls + 1) // 2 if solver == "heun" else self.calls
        if method.start == "posterior":
            return geometric_ladder(self.start_level, SMALLEST_LEVEL, steps), solver
        return karras_ladder(*PUBLISHED_LEVELS, steps), solver


class Analyst:
    """Holds a bundle's prior and draws members with it."""

    def __init__(
        self,
        bundle: Bundle,
        settings: Settings,
        device: str = "cpu",
        precision: Precision = "bundle",
        compiled: bool = False,
    ) -> None:
        self.bundle, self.settings, self.device = bundle, settings, device
        self.prior: DiffusionPrior = load_prior(bundle, device, precision, compiled)
        # Methods that need a forecast and have none start as the default does.
        self._sampling = (
            settings if METHODS[settings.method].network else replace(settings, method=DEFAULT, solver=None)
        )
        self._kept: tuple[tuple[datetime, bytes], Situation] | None = None

    def draw(
        self,
        time: datetime,
        batch: ObservationBatch,
        forecast: FloatArray | None,
        members: Sequence[int],
        seed: int,
        check: Callable[[], None] = lambda: None,
        adaptation: Adaptation | None = None,
        models: Sequence[ModelField] = (),
        age: Age = YOUNG,
    ) -> FloatArray:
        """Members (len(members), channels, nlat, nlon), physical units, of the analysis at ``time``.

        ``batch``: only its values still to be assimilated enter. ``forecast`` (N, channels, h, w): all emulator
        members, of which the mean is observed (``letkf`` and ``none`` take them all). Each member's noise derives from
        (seed, time, member) alone. ``adaptation``: what is known of the world's climate and of the forecast's error;
        None: as in the bundle. ``models``: fields of other models, in the world's climate. ``age``: the
        forecast's.
        """
        adaptation = adaptation or Adaptation.none(tuple(c.name for c in self.bundle.channels))
        if forecast is not None and self.settings.method == "none":
            return free_run(self.bundle, time, forecast, members)
        if forecast is not None and self.settings.method == "letkf":
            world, prior = adaptation.world(aged(self.bundle, age)), self.prior.climate
            return letkf(world, prior, self.settings.letkf, time, batch, forecast, members, seed)
        situation = self.situation(time, batch, forecast, adaptation, models, age)
        world = situation.world
        noises = [MemberNoise(seed, time, member) for member in members]
        with torch.no_grad():
            beta = situation.bias.draw(noises) if situation.bias is not None else None
            x = self.prior.anomalies(self._sample(time, situation, beta, noises, check), world)
            states = x.cpu().numpy() * world.climatology.std + world.climatology.mean(time)
            if situation.bias is not None and beta is not None:
                states = states + situation.bias.field(beta).cpu().numpy() * self.bundle.climatology.std
        return np.asarray(positive(self.bundle, states), dtype=np.float32)

    def _sample(
        self,
        time: datetime,
        situation: "Situation",
        beta: Tensor | None,
        noises: Sequence[MemberNoise],
        check: Callable[[], None],
    ) -> Tensor:
        """One state per noise, in the prior's variables."""
        gaussian, settings = self.prior.gaussian, self._sampling
        observations = situation.system.observations
        if situation.bias is not None and beta is not None:
            observations = replace(observations, innovation=situation.bias.innovation(beta))
        if METHODS[self.settings.method] is METHODS["oi"]:
            return gaussian_posterior(situation.system, noises, observations.innovation)
        shape = (gaussian.channels, *gaussian.grid.shape)

        def white() -> Tensor:
            drawn = torch.stack([noise.draw(shape) for noise in noises]).to(self.device)
            return drawn / gaussian.weights.sqrt()

        ladder, solver = settings.plan()
        x: Tensor | float = 0.0
        if METHODS[settings.method].start == "posterior":
            x = gaussian_posterior(situation.system, noises, observations.innovation)
        guided = guidance(settings.method, gaussian).guide(self.prior.at(time), observations)
        drawn = sample(guided, x + ladder[0] * white(), ladder, check, solver, white)
        return drawn + self.added(situation, noises)

    def added(self, situation: "Situation", noises: Sequence[MemberNoise]) -> Tensor:
        """What the members' spread lacks (m, channels, nlat, nlon), in the prior's variables: nothing where nobody has
        measured it, with other methods, and where nothing is observed."""
        gaussian, observations = self.prior.gaussian, situation.system.observations
        share = torch.as_tensor(situation.world.analysis_inflation, device=self.device)
        nothing_seen = observations.forecast is None and len(observations.points) == 0
        if not METHODS[self._sampling.method].inflated or nothing_seen or not share.any():
            return torch.zeros(len(noises), gaussian.channels, *gaussian.grid.shape, device=self.device)
        return situation.inflation_factor * deviation_fields(situation.system, share, noises)

    def situation(
        self,
        time: datetime,
        batch: ObservationBatch,
        forecast: FloatArray | None,
        adaptation: Adaptation,
        models: Sequence[ModelField] = (),
        age: Age = YOUNG,
    ) -> "Situation":
        """What all members of a cycle share, the last one kept: its factor serves all chunks."""
        used = batch.assimilated
        seen = [used.channel, used.lat, used.lon, used.value, used.sigma] + ([] if forecast is None else [forecast])
        total = hashlib.sha256(f"{adaptation.digest} {age}".encode())
        for array in [*seen, *(np.asarray([model.factor]) for model in models), *(model.values for model in models)]:
            total.update(np.ascontiguousarray(array).tobytes())
        key = time, total.digest()
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # let go of the old factor before the new one is made
            gaussian, world = self.prior.gaussian, adaptation.world(aged(self.bundle, age))
            observations = self.observations(time, used, forecast, world, models, age)
            climate = self.prior.climate
            share = felt(climate.channels) if forecast is None else felt_with_forecast(world, climate)
            share = showing(share, adaptation)
            biased = bool(share.any()) and len(used) > 0
            system = Conditioner(gaussian, gaussian.covariance, gaussian.rest, observations, factored=biased)
            bias = BiasTerm(system, adaptation, share) if biased else None
            self._kept = key, Situation(time, world, system, bias, adaptation.level)
        return self._kept[1]

    def observations(
        self,
        time: datetime,
        batch: ObservationBatch,
        forecast: FloatArray | None,
        world: Bundle,
        models: Sequence[ModelField] = (),
        age: Age = YOUNG,
    ) -> Observations:
        """Soundings and forecast as operators on the prior's variables."""
        gaussian, device = self.prior.gaussian, self.device
        points, innovation = point_operator(world, gaussian, batch, time, self.prior.balance_in(world))
        mean, std = world.climatology.mean(time), world.climatology.std
        placed = [self._placed(model, world, time) for model in models]
        # A model's factor is relative to the emulator's error as the bundle has it, whatever is thought of that now.
        usual = torch.as_tensor(self.bundle.forecast_error, device=device)
        if forecast is None:
            return Observations(points, innovation, combined(gaussian, None, placed, usual))
        normalised = torch.as_tensor((lift(world, forecast.mean(0), time) - mean) / std, device=device)
        anomaly = self.prior.variables(normalised[None], world)[0]

        def term(slope: FloatArray, error: FloatArray) -> SpectralTerm:
            told = ForecastTerm(
                gaussian, torch.as_tensor(slope, device=device), torch.as_tensor(error, device=device), anomaly
            )
            return combined(gaussian, told, placed, usual) or told

        local, slopes, errors = None, world.local_slope, world.local_error
        if METHODS[self.settings.method].local and slopes is not None and errors is not None:
            weights = local_weights(self.bundle, std, gaussian, forecast, age)
            if weights is not None:
                terms = [term(*of) for of in zip(slopes, errors, strict=True)]
                local = LocalTerm(gaussian, terms, weights, self._small_scales(world))
        return Observations(points, innovation, term(world.forecast_slope, world.forecast_error), local)

    def _small_scales(self, world: Bundle) -> SmallScales | None:
        factor = world.small_scales
        return None if factor is None else SmallScales(self.prior.gaussian, factor, self.prior.balance_in(world))

    def _placed(self, model: ModelField, world: Bundle, time: datetime) -> tuple[ModelField, Tensor]:
        """The field and its normalised anomaly in the prior's variables; a wind whose height it lacks goes without."""
        index, balance = list(model.index), self.prior.balance
        mean, std = world.climatology.mean(time), world.climatology.std
        x = torch.zeros(1, *mean.shape, device=self.device)
        x[0, index] = torch.as_tensor((model.values - mean[index]) / std[index]).to(self.device)
        kept = [c for c in index if balance is None or balance.knows(c, index)]
        return replace(model, index=tuple(kept)), self.prior.variables(x, world)[0, kept]


@dataclass(frozen=True)
class Situation:
    """``world``: the bundle with the climatology in force at ``time``; ``bias``: what is unknown of it, or None;
    ``level``: of forecasts' errors, or None."""

    time: datetime
    world: Bundle
    system: Conditioner
    bias: BiasTerm | None
    level: ErrorLevel | None = None

    @property
    def inflation_factor(self) -> Tensor | float:
        """On what is added to members (channels, nlat, nlon), by how much the forecast's members differ in a place, and
        by how large errors are; one where the bundle does not know, and where there is no such forecast."""
        inflation, local = self.world.inflation, self.system.observations.local
        if inflation is None or local is None:
            return 1.0
        square = inflation.of_size(inflation.size(self.level, self.world.season(self.time)))
        return torch.einsum("nc,nij->cij", torch.as_tensor(square, device=local.weights.device), local.weights).sqrt()
