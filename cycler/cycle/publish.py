"""The publish stage: the ensemble and every observation as files that others read."""

from importlib.metadata import version
from pathlib import Path

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.models import threads
from dacycle.cycler.cycle.states import Stage
from dacycle.cycler.cycle.task import ANALYSIS_EQUIVALENTS, CHECKED, FORECAST, INITIAL, Task
from dacycle.cycler.products.catalogue import lying
from dacycle.cycler.products.derived import derive, ingredients
from dacycle.cycler.products.ensemble import Ensemble
from dacycle.cycler.products.folders import Stream, product_folder
from dacycle.cycler.products.issuer import Issuer
from dacycle.cycler.products.observations import ObservationTable
from dacycle.cycler.products.provenance import Provenance
from dacycle.cycler.products.publish import ProductRequest
from dacycle.cycler.products.publish import publish as publish_products
from dacycle.cycler.products.quicklook import Quicklook
from dacycle.cycler.products.thresholds import Threshold
from dacycle.errors import ConfigError

__all__ = ["publish", "thresholds"]


def publish(task: Task) -> None:
    """Products of this cycle in their folder, and each of them in the ledger.

    What no sounding had a say in is called a forecast, from the last analysis that one had.
    """
    record, config, bundle = task.record, task.config, task.bundle
    states, channels = derive(task.published(), bundle.channels, config.products.derived, bundle.orography)
    wanted = thresholds(config, bundle)
    analysis: Ensemble | None = None
    forecasts: tuple[Ensemble, ...] = ()
    if task.free:
        start = task.origin
        hours = int((record.time - start).total_seconds()) // 3600
        forecasts = (Ensemble(states, channels, bundle.grid, start, hours, wanted),)
    else:
        analysis = Ensemble(states, channels, bundle.grid, record.time, thresholds=wanted)
    stream: Stream = "early" if task.early else "delayed"
    request = ProductRequest(
        time=record.time,
        stream=stream,
        provenance=_provenance(task),
        analysis=analysis,
        forecasts=forecasts,
        observations=_table(task),
        formats=config.products.formats,
        members=config.products.members,
        runtime=_runtime(task),
        quicklook=_quicklook(task) if config.products.quicklooks else None,
    )
    folder = product_folder(config.paths.state, record.time, stream)
    manifest = publish_products(folder, request, keep_superseded=not task.early)
    task.tell("renamed", Stage.PUBLISH, folder.name)
    task.ledger.enter_products(record.time, record.stream, lying(config.paths.state, record.time, stream))
    if config.products.archive is not None and not task.early:
        _archive(task, config.products.archive)
    for name, file in manifest.products.items():
        task.work.enter(Stage.PUBLISH, name, folder / name, file.sha256, file.bytes)


def thresholds(config: Config, bundle: Bundle) -> tuple[Threshold, ...]:
    """Whose probabilities are published; ConfigError for what cannot be made from the bundle's channels."""
    known = [channel.name for channel in bundle.channels]
    for name in config.products.derived:
        if missing := [each for each in ingredients(name) if each not in known]:
            raise ConfigError(f"[products] derived: {name} needs {' '.join(missing)}, which the bundle lacks")
    known += config.products.derived
    wanted = config.products.probabilities
    if unknown := [each.channel for each in wanted if each.channel not in known]:
        raise ConfigError(
            f"[products] probabilities: no channel {unknown[0]}; expected one of {' '.join(known)}, "
            "or name it in [products] derived as well"
        )
    return tuple(
        Threshold(each.channel, "above", each.above)
        if each.above is not None
        else Threshold(each.channel, "below", each.below or 0.0)
        for each in wanted
    )


def _provenance(task: Task) -> Provenance:
    config, card = task.config, task.bundle.card
    inputs = dict(task.inputs()["files"])
    if task.base is not None and task.base_work is not None:
        inputs[f"initial states of {task.base.time:%Y-%m-%dT%H}"] = task.base_work.sha256(INITIAL)
    if task.initial is not None:
        inputs[f"initial field {task.initial.path.name}"] = task.initial.sha256
    return Provenance(
        bundle=card.name,
        bundle_digest=task.bundle.digest,
        world=card.world,
        version=version("dacycle"),
        method=config.assimilation.method,
        seed=config.ensemble.seed,
        members=config.ensemble.members,
        chunk=config.ensemble.chunk,
        threads=threads(config),
        config_digest=task.config_digest,
        background=task.record.background,
        inputs=inputs,
        issuer=Issuer(**config.issuer.model_dump()),
    )


def _archive(task: Task, path: Path) -> None:
    """Bring the archive up to the catalogue. No cycle fails for it: the next one makes up for what is missing."""
    from dacycle.cycler.products.archive import update

    try:
        update(path, task.config.paths.state, task.ledger.products(stream=task.record.stream))
    except Exception as error:
        text = f"the archive {path} could not be brought up to date: {type(error).__name__}: {error}"
        task.ledger.tell(" ".join(text.split()), task.record.changed_at, "warning", task.record.id)


def _quicklook(task: Task) -> Quicklook:
    from dacycle.cycler.assimilation.fields import lift

    background = None
    if task.start is not None and not task.free:
        background = lift(task.bundle, task.work.array(FORECAST).mean(0), task.record.time)
    return Quicklook(task.bundle.orography, background)


def _table(task: Task) -> ObservationTable | None:
    batch = task.work.batch(CHECKED)
    if len(batch) == 0:
        return None
    equivalents = task.work.arrays(ANALYSIS_EQUIVALENTS)
    return ObservationTable.of(batch, equivalents.get("background"), None if task.free else equivalents["analysis"])


def _runtime(task: Task) -> dict[str, object]:
    """What the clock says, for the manifest's one section that two runs do not share."""
    stages = task.ledger.stages(task.record.id)
    return {
        "attempts": task.record.attempts,
        "seconds": {name: stage.seconds for name, stage in stages.items() if stage.seconds is not None},
        "started": {name: f"{stage.started_at:%Y-%m-%dT%H:%M:%SZ}" for name, stage in stages.items()},
    }
