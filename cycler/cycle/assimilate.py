"""The assimilate stage: the last check of the observations, the members, and what became of every value."""

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.ageing import aged
from dacycle.cycler.assimilation.model_term import ModelField
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle import blacklist
from dacycle.cycler.cycle.arrivals import from_json
from dacycle.cycler.cycle.covariances import known_before, learn, remember
from dacycle.cycler.cycle.executor import Known
from dacycle.cycler.cycle.increment import INCREMENT, packed
from dacycle.cycler.cycle.model_observations import model_fields, weighed
from dacycle.cycler.cycle.prepare import Prepared, prepare
from dacycle.cycler.cycle.ranks import rank_counts
from dacycle.cycler.cycle.records import Listing
from dacycle.cycler.cycle.states import Stage
from dacycle.cycler.cycle.stations import station_records
from dacycle.cycler.cycle.statistics import count, statistics
from dacycle.cycler.cycle.task import ANALYSIS_EQUIVALENTS, CHECKED, FORECAST, INPUTS, OBSERVATIONS, Task
from dacycle.errors import DacycleError
from dacycle.obs.quality import withhold
from dacycle.obs.thinning import thin

__all__ = ["assimilate"]

FloatArray = npt.NDArray[np.float32]


def assimilate(task: Task) -> None:
    """Check against the background, withhold, draw the members chunk by chunk, compare them with all values.

    Chunks that were drawn before an interruption are kept. Where nothing is left to assimilate, the delayed stream
    goes on with the lifted and inflated forecast, and the early one lets the prior refine it.
    """
    from dacycle.cycler.assimilation.fields import lift, observe

    time, work, bundle = task.record.time, task.work, aged(task.bundle, task.age)
    coarse = work.array(FORECAST) if task.start else None
    batch = work.batch(OBSERVATIONS)
    climatology = observe(task.bundle, task.bundle.climatology.mean(time)[None], batch)[0]
    background = observe(task.bundle, lift(task.bundle, coarse, time), batch) if coarse is not None else None
    checks = task.config.quality
    if checks.blacklist:
        batch = blacklist.apply(batch, _listings(task))
    folds = task.config.assimilation
    prepared = prepare(
        bundle,
        known_before(task),
        batch,
        coarse,
        lambda batch: withhold(thin(batch, checks.thin_km), folds.withhold_folds, folds.withhold_fold),
        lambda known, batch: learn(task, bundle, known, batch, coarse),
    )
    batch = prepared.batch
    if prepared.divergence is not None:
        text = f"{task.record.label}: {prepared.divergence}"
        task.ledger.tell(text, task.record.changed_at, "warning", task.record.id)
    work.keep_batch(Stage.ASSIMILATE, CHECKED, batch)
    received = int(work.json(INPUTS)["received"])
    counts = count(batch, received)
    task.ledger.set_counts(task.record.id, counts)
    if background is None and counts.used == 0:
        raise DacycleError(f"{task.record.label}: all {len(batch)} values were rejected and there is no background")
    if counts.used > 0 or task.early:
        models = _models(task, prepared)
        _draw(task, Known(time, batch, coarse, task.config.ensemble.seed, prepared.now, models, task.age))
        if coarse is not None:
            increment = task.states().mean(0) - lift(task.bundle, coarse, time).mean(0)
            work.keep_arrays(Stage.ASSIMILATE, INCREMENT, packed(increment))
    elif coarse is not None:
        _go_on(task, prepared.now.world(bundle), coarse)
    analysis = observe(task.bundle, task.published(), batch)
    told = {"analysis": analysis, "climatology": climatology}
    if background is not None:
        told["background"] = background
    work.keep_arrays(Stage.ASSIMILATE, ANALYSIS_EQUIVALENTS, told)
    remember(task, prepared.after, batch, told)
    if not task.early:
        arrived = from_json(task.inputs().get("soundings", []))
        task.ledger.set_stations(task.record.id, station_records(batch, arrived, background, analysis))
    if counts.used > 0:
        task.ledger.set_statistics(task.record.id, statistics(batch, background, analysis))
        if background is not None:
            task.ledger.set_ranks(task.record.id, rank_counts(batch, background, task.config.ensemble.seed))


def _listings(task: Task) -> list[Listing]:
    """The listings that count now; the delayed stream, which has the history, adds to them."""
    ledger, time = task.ledger, task.record.time
    if not task.early:
        new, warning = blacklist.decide(ledger, time)
        ledger.set_blacklist(time, new)
        if warning:
            ledger.tell(f"{task.record.label}: {warning}", task.record.changed_at, "warning", task.record.id)
        for listing in new:
            text = f"{listing.station} is blacklisted in {listing.variable} until {listing.until:%Y-%m-%d}"
            ledger.tell(f"{text}: {listing.reason}", task.record.changed_at, "warning", task.record.id)
    return ledger.blacklist(time)


def _models(task: Task, prepared: Prepared) -> tuple[ModelField, ...]:
    """Fields of other models that are valid now, each with the error that the soundings find in it."""
    fields, problems = model_fields(task.config.assimilation.model_observations, task.bundle, task.record.time)
    for problem in problems:
        task.ledger.tell(f"{task.record.label}: {problem}", task.record.changed_at, "warning", task.record.id)
    weighed_ones = tuple(weighed(field, task.bundle, prepared.batch) for field in fields)
    for field in weighed_ones:
        text = f"{field.name} is assimilated, with {field.factor:.2g} times the emulator's error variance"
        task.ledger.tell(f"{task.record.label}: {text}", task.record.changed_at, "info", task.record.id)
    return weighed_ones


def _go_on(task: Task, world: Bundle, coarse: FloatArray) -> None:
    """Without soundings: the forecast, with departures from its mean that are as large as its errors must be.

    ``world``: the bundle with the climate in force, and the error of a forecast as old as this one.
    """
    import torch

    from dacycle.cycler.assimilation.fields import lift, positive
    from dacycle.cycler.assimilation.inflation import inflate

    prior, std = task.models.analyst.prior.climate, world.climatology.std
    device = prior.rest.device
    members = lift(task.bundle, coarse, task.record.time)
    departures = torch.as_tensor((members - members.mean(0)) / std, device=device)
    error = torch.as_tensor(world.anomaly_error, device=device)
    wider = inflate(prior, error, departures).cpu().numpy() * std
    members = positive(world, (members.mean(0) + wider).astype(np.float32))
    for chunk in task.chunks:
        task.work.keep_array(Stage.ASSIMILATE, task.chunk_name(chunk), members[chunk[0] - 1 : chunk[-1]])


def _draw(task: Task, known: Known) -> None:
    steps = task.config.assimilation.calls
    total = steps * len(task.chunks)
    missing = [chunk for chunk in task.chunks if not task.work.has(task.chunk_name(chunk))]
    seen = kept = total - steps * len(missing)

    def check(calls: int) -> None:
        nonlocal seen
        seen = min(seen + calls, total)
        task.tell("step", Stage.ASSIMILATE, "", seen, total)

    for chunk, states in task.models.executor.draw(known, missing, check):
        name = task.chunk_name(chunk)
        task.work.keep_array(Stage.ASSIMILATE, name, states)
        kept += steps
        seen = max(seen, kept)
        task.tell("chunk", Stage.ASSIMILATE, name, seen, total)
