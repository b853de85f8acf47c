"""What a stage is given: the cycle, its files, the cycle before it, and somebody to tell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.ageing import YOUNG, Age
from dacycle.cycler.assimilation.methods import METHODS
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.models import Models
from dacycle.cycler.cycle.progress import Observer, Progress
from dacycle.cycler.cycle.records import CycleRecord
from dacycle.cycler.cycle.states import Stage, Stream
from dacycle.cycler.cycle.workspace import Workspace

if TYPE_CHECKING:
    from dacycle.cycler.cycle.initial import Initial

__all__ = [
    "ANALYSIS_EQUIVALENTS",
    "CHECKED",
    "FORECAST",
    "INITIAL",
    "INPUTS",
    "OBSERVATIONS",
    "Task",
]

FloatArray = npt.NDArray[np.float32]

INPUTS = "inputs.json"  # the archive's files and their hashes
OBSERVATIONS = "observations.npz"  # checked by themselves
FORECAST = "forecast.npy"  # (members, channels, h, w)
CHECKED = "checked.npz"  # checked against the background too, withheld ones marked
ANALYSIS_EQUIVALENTS = "equivalents.npz"
INITIAL = "initial.npy"  # (members, channels, h, w): where the next forecast starts


@dataclass(frozen=True)
class Task:
    """One cycle while it runs. ``base``: the cycle it starts from, with that one's files; None: there is none.

    ``initial`` is what the first cycle starts from in its place, where there is such a thing.
    """

    config: Config
    bundle: Bundle
    models: Models
    ledger: Ledger
    record: CycleRecord
    work: Workspace
    base: CycleRecord | None
    base_work: Workspace | None
    initial: "Initial | None"
    observer: Observer
    config_digest: str

    @property
    def early(self) -> bool:
        """Whether this cycle feeds no other."""
        return self.record.stream == Stream.EARLY

    @property
    def start(self) -> datetime | None:
        """When the background begins; None where there is none."""
        if self.base is not None:
            return self.base.time
        return self.initial.time if self.initial is not None else None

    @property
    def hours(self) -> int:
        """How far the background reaches."""
        lead = self.record.time - self.start if self.start else timedelta(0)
        return int(lead.total_seconds()) // 3600

    @property
    def chunks(self) -> list[Sequence[int]]:
        """Member numbers from 1, in the fixed groups that are drawn together."""
        numbers = range(1, self.config.ensemble.members + 1)
        size = self.config.ensemble.chunk
        return [numbers[i : i + size] for i in range(0, len(numbers), size)]

    def chunk_name(self, chunk: Sequence[int]) -> str:
        """The file of a group of members."""
        return f"chunk-{chunk[0]:03d}-{chunk[-1]:03d}.npy"

    @property
    def free(self) -> bool:
        """Whether no sounding had a say: known once the assimilate stage is over."""
        return self.ledger.counts(self.record.id).used == 0

    @property
    def origin(self) -> datetime:
        """When the last cycle before this one was in which soundings had a say, or the initial field."""
        return self._back(lambda cycle: cycle.soundings_used == 0)

    @property
    def age(self) -> Age:
        """The background's; that of a free forecast of the early stream is calibrated by the prior that refines it."""
        if self.start is None:
            return YOUNG
        calibrated = self._back(lambda cycle: cycle.soundings_used == 0 and cycle.stream == Stream.DELAYED)
        known, free = (self.record.time - time for time in (self.origin, calibrated))
        return Age(known.total_seconds() / 3600.0, free.total_seconds() / 3600.0)

    def _back(self, passing: Callable[[CycleRecord], bool]) -> datetime:
        """The time of the first cycle on the way back that is not ``passing``."""
        found = self.base
        if found is None:
            assert self.start is not None
            return self.start
        while passing(found) and found.base is not None:
            found = self.ledger.by_id(found.base)
        return found.time

    def states(self) -> FloatArray:
        """The ensemble on the analysis grid, as it goes on: as drawn, or the forecast lifted onto it."""
        if self.work.has(self.chunk_name(self.chunks[0])):
            return np.concatenate([self.work.array(self.chunk_name(chunk)) for chunk in self.chunks])
        from dacycle.cycler.assimilation.fields import lift

        return lift(self.bundle, self.work.array(FORECAST), self.record.time)

    def published(self) -> FloatArray:
        """The ensemble as others read it: with tails as long as errors have, where they are known."""
        method = METHODS[self.config.assimilation.method]
        if not method.tailed(soundings=not self.free, forecast=self.start is not None):
            return self.states()
        from dacycle.cycler.assimilation.tails import with_tails

        return with_tails(self.bundle, self.states(), self.record.time, self.config.ensemble.seed)

    def tell(self, point: str, stage: Stage | str = "", detail: str = "", done: int = 0, total: int = 0) -> None:
        """Let the observer know; it may end the work here."""
        progress = Progress(point, self.record.time, str(self.record.stream), str(stage), detail, done, total)
        self.observer(progress)

    def inputs(self) -> dict[str, Any]:
        """What ingest noted of the archive's files."""
        noted = self.work.json(INPUTS)
        assert isinstance(noted, dict)
        return noted
