"""Error variances and climate that follow the innovations, from cycle to cycle through the ledger.

What a cycle starts from is what its base ended with: a rerun, or a restart in the middle, learns the same again.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.adaptation import FACTORS, Adaptation
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.statistics import desroziers
from dacycle.cycler.cycle.task import Task
from dacycle.obs.batch import ObservationBatch

__all__ = ["known_before", "learn", "remember"]

FloatArray = npt.NDArray[np.floating]


def known_before(task: Task) -> Adaptation:
    """What the cycle starts from; the bundle's own statistics where ``adaptive_covariance`` is off."""
    channels = tuple(c.name for c in task.bundle.channels)
    if not task.config.assimilation.adaptive_covariance:
        return Adaptation.none(channels)
    text = task.ledger.adaptation(task.base.id) if task.base is not None else None
    known = Adaptation.from_json(text) if text is not None else Adaptation.ignorant(channels)
    if known.channels != channels:  # another bundle from here on
        known = Adaptation.ignorant(channels)
    return known.later(task.hours) if text is not None else known


def learn(
    task: Task,
    bundle: Bundle,
    known: Adaptation,
    batch: ObservationBatch,
    forecast: npt.NDArray[np.float32] | None,
) -> tuple[Adaptation, Adaptation]:
    """What this analysis stands on, and what the next cycle starts from; ``batch`` with the error table's sigma.

    ``bundle``: with the error statistics of a forecast as old as this one.
    """
    if not task.config.assimilation.adaptive_covariance or not len(batch.assimilated):
        return known, known
    from dacycle.cycler.assimilation.adapt import adapt

    prior = task.models.analyst.prior
    return adapt(bundle, prior, known, batch, forecast, task.age.known)


def remember(task: Task, after: Adaptation, batch: ObservationBatch, equivalents: dict[str, FloatArray]) -> None:
    """Enter what was learnt; ``batch`` and ``equivalents`` for Desroziers' diagnostic."""
    if not task.config.assimilation.adaptive_covariance:
        return
    rows = list(_rows(after))
    if "background" in equivalents:
        ratios = desroziers(batch, equivalents["background"], equivalents["analysis"])
        rows += [("desroziers", channel, ratio) for channel, ratio in ratios.items()]
    task.ledger.set_adaptation(task.record.id, after.to_json(), rows)


def _rows(after: Adaptation) -> Iterator[tuple[str, str, float]]:
    for kind in FACTORS:
        if kind != "bias":
            yield from ((kind, name, float(v)) for name, v in zip(after.channels, after.factor(kind), strict=True))
    if after.level is not None:
        yield "level", "forecast", float(np.exp(after.level.log))
    for name, coefficients in zip(after.channels, after.bias, strict=True):
        yield from (("bias", f"{name}:{degree}", float(value)) for degree, value in enumerate(coefficients))
