"""The table of methods of an OSSE: what each sees, and how it goes from one analysis time to the next."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from dacycle.cycler.assimilation import methods as assimilation_methods
from dacycle.cycler.assimilation.adapt import adapt
from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.assimilation.climate_map import into_bundle, into_world
from dacycle.cycler.assimilation.fields import coarsen, lift
from dacycle.cycler.assimilation.tails import with_tails
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.prepare import Prepared, prepare
from dacycle.cycler.experiments.scores import FloatArray
from dacycle.cycler.experiments.twin import forecast
from dacycle.cycler.products.arrays import write_arrays
from dacycle.cycler.training.super_resolution import Refiner
from dacycle.emulators.emulator import Emulator
from dacycle.obs.batch import ObservationBatch

__all__ = ["METHODS", "Analysis", "Place", "Plan", "World", "advance", "first_analysis", "published"]


@dataclass(frozen=True)
class Plan:
    """``method``: the assimilation's name, or None for the climatology. ``soundings``, ``emulator``: whether they are
    seen; ``loop``: whether analyses reinitialise the emulator; ``adaptive``: whether errors and climate follow the
    innovations, as the product does by default; ``refined``: members are given their small scales by the prior."""

    told: str
    method: str | None
    soundings: bool = True
    emulator: bool = True
    loop: bool = True
    adaptive: bool = False
    refined: bool = False


METHODS: dict[str, Plan] = {
    "climatology": Plan("the bundle's mean of the date", None, False, False, False),
    "free run": Plan("LUCIE from the first analysis, nothing assimilated", "none", soundings=False),
    "oi": Plan("LUCIE + soundings, cycled: optimal interpolation (3D-Var), a climatological covariance", "oi"),
    "letkf": Plan("LUCIE + soundings, cycled: local ensemble transform Kalman filter of LUCIE's members", "letkf"),
    "oi, adapting": Plan("as oi, errors and climate adapting as the default's", "oi", adaptive=True),
    "letkf, adapting": Plan("as letkf, errors and climate adapting as the default's", "letkf", adaptive=True),
    "sda": Plan("LUCIE + soundings, reinitialised: the default, errors adapting", "sda", adaptive=True),
    "soundings": Plan("soundings only, each time by itself", "sda", emulator=False, loop=False, adaptive=True),
    "sda, fixed errors": Plan("LUCIE + soundings, reinitialised: the default without adaptation", "sda"),
    "sda, no loop": Plan("LUCIE's free run and soundings, without reinitialisation", "sda", loop=False, adaptive=True),
    "letkf, refined": Plan("the LETKF's cycle, its members super-resolved by the prior", "letkf", refined=True),
    "LUCIE only": Plan("LUCIE's free run alone, refined by the prior", "sda", soundings=False, loop=False),
    "published Gamma": Plan("LUCIE + soundings, reinitialised: SDA with the published constant Gamma", "sda-constant"),
}
"""Cheapest first: what is there after an hour can be compared already."""


@dataclass(frozen=True)
class World:
    """What all methods share. ``first`` (members, channels, nlat, nlon): the analysis that every method starts from.

    ``refiner``() gives coarse members their small scales; made when it is asked for.
    """

    bundle: Bundle
    emulator: Emulator
    batches: list[ObservationBatch]
    first: FloatArray
    members: int
    seed: int
    refiner: Callable[[], Refiner]


@dataclass(frozen=True)
class Place:
    """How far a method is: LUCIE's next initial states (members, channels, h, w) at ``time``, and what was learnt."""

    number: int
    time: datetime
    state: FloatArray
    known: Adaptation

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        known = self.known.to_json()
        write_arrays(path, number=self.number, time=self.time.isoformat(), state=self.state, known=known)

    @classmethod
    def load(cls, path: Path) -> "Place":
        """What ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(
                int(file["number"]),
                datetime.fromisoformat(str(file["time"])),
                file["state"],
                Adaptation.from_json(str(file["known"])),
            )

    @classmethod
    def start(cls, world: World, plan: Plan) -> "Place":
        """At the first batch's time, before the second."""
        names = tuple(c.name for c in world.bundle.channels)
        known = Adaptation.ignorant(names) if plan.adaptive else Adaptation.none(names)
        return cls(0, world.batches[0].analysis_time, coarsen(world.bundle, world.first), known)


@dataclass(frozen=True)
class Analysis:
    """``states`` (N, channels, nlat, nlon) at ``time``, and what they were drawn from, where they were drawn: values
    and errors, and the emulator's members (N, channels, h, w), if any."""

    time: datetime
    states: FloatArray
    prepared: Prepared | None = None
    forecast: FloatArray | None = None


def first_analysis(world: World, analyst: Analyst) -> FloatArray:
    """The members (N, channels, nlat, nlon) that all methods start from: the default's, from soundings alone."""
    known = Adaptation.none(tuple(c.name for c in world.bundle.channels))
    batch = prepare(world.bundle, known, world.batches[0], None, lambda b: b, lambda k, b: (k, k)).batch
    return analyst.draw(batch.analysis_time, batch, None, range(1, world.members + 1), world.seed)


def advance(world: World, plan: Plan, analyst: Callable[[str], Analyst], place: Place) -> tuple[Place, Analysis]:
    """The next place, and the analysis there; the first time is every method's start. From states that are not finite
    nothing comes back: they stay so."""
    bundle = world.bundle
    batch = world.batches[place.number]
    time = batch.analysis_time
    if plan.method is None:
        return replace(place, number=place.number + 1), Analysis(time, bundle.climatology.mean(time)[None])
    if place.number == 0:
        return replace(place, number=1), Analysis(time, world.first)
    if not np.isfinite(place.state).all():
        lost = np.full_like(world.first, np.nan)
        return replace(place, number=place.number + 1, time=time), Analysis(time, lost)
    coarse, known = None, place.known
    if plan.emulator:
        hours = (time - place.time).total_seconds() / 3600
        known = known.later(hours) if plan.adaptive else known
        inside = into_bundle(bundle, known, place.state, place.time)
        inside = forecast(world.emulator, inside, place.time, time)
        coarse = into_world(bundle, known, inside, time)
    moved = replace(place, number=place.number + 1, time=time, state=place.state if coarse is None else coarse)
    if plan.method == "none" and coarse is not None:
        return moved, Analysis(time, lift(bundle, coarse, time))
    chosen = analyst(plan.method)
    batch = batch if plan.soundings else batch.select(np.zeros(len(batch), np.bool_))

    def learn(known: Adaptation, values: ObservationBatch) -> tuple[Adaptation, Adaptation]:
        if not plan.adaptive:
            return known, known
        return adapt(bundle, chosen.prior, known, values, coarse, 12.0)

    prepared = prepare(bundle, known, batch, coarse, lambda b: b, learn)
    numbers = range(1, world.members + 1)
    states = chosen.draw(time, prepared.batch, coarse, numbers, world.seed, adaptation=prepared.now)
    # Without the emulator nothing says how old the last hour's knowledge is: each time learns from itself.
    after = prepared.after if plan.emulator else place.known
    moved = replace(moved, state=coarsen(bundle, states) if plan.loop else moved.state, known=after)
    if plan.refined:
        states = world.refiner().refine(moved.state, time, world.seed)
    return moved, Analysis(time, states, prepared, coarse)


def published(world: World, plan: Plan, analysis: Analysis) -> FloatArray:
    """The analysis's members as the product publishes them (``Task.published``)."""
    method = assimilation_methods.METHODS.get(plan.method or "")
    if method is None or plan.refined or not method.tailed(plan.soundings, analysis.forecast is not None):
        return analysis.states
    return with_tails(world.bundle, analysis.states, analysis.time, world.seed)
