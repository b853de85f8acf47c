"""Cycling in memory: a truth, its soundings, and the models, without ledger or products.

The scientific steps are those of the cycle (the same Analyst, emulator, lift and coarsen); what is left out is the
bookkeeping. Used to estimate forecast-error statistics and to compute the columns that the demo compares with.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.assimilation.fields import coarsen
from dacycle.emulators.emulator import Emulator
from dacycle.obs.batch import ObservationBatch

__all__ = ["Step", "cycle", "forecast"]

FloatArray = npt.NDArray[np.float32]
Check = Callable[[ObservationBatch, FloatArray | None], ObservationBatch]


@dataclass(frozen=True)
class Step:
    """One analysis time: ``forecast`` (N, channels, h, w) that was observed, if any, and ``states`` (N, ...)."""

    time: datetime
    forecast: FloatArray | None
    states: FloatArray


def forecast(emulator: Emulator, initial: FloatArray, start: datetime, end: datetime) -> FloatArray:
    """All members from ``start`` to ``end`` on the emulator's grid."""
    hours = int((end - start).total_seconds() // 3600)
    with torch.no_grad():
        return np.asarray(emulator.forecast(torch.from_numpy(initial), start, hours).numpy(), dtype=np.float32)


def cycle(
    analyst: Analyst,
    emulator: Emulator,
    batches: Sequence[ObservationBatch],
    members: int,
    seed: int,
    first: FloatArray | None = None,
    reinitialise: bool = True,
    check: Check = lambda batch, forecast: batch,
) -> Iterator[Step]:
    """Analyses at the batches' times, in order.

    ``first``: the analysis of the first time, else drawn from its soundings alone. Without ``reinitialise`` the
    emulator runs on freely from the first analysis and is only observed. ``check(batch, forecast)`` is the last
    quality control.
    """
    numbers = range(1, members + 1)
    time = batches[0].analysis_time
    if first is None:
        first = analyst.draw(time, check(batches[0], None), None, numbers, seed)
    yield Step(time, None, first)
    state = coarsen(analyst.bundle, first)
    for batch in batches[1:]:
        state = forecast(emulator, state, time, batch.analysis_time)
        time = batch.analysis_time
        states = analyst.draw(time, check(batch, state), state, numbers, seed)
        yield Step(time, state, states)
        if reinitialise:
            state = coarsen(analyst.bundle, states)
