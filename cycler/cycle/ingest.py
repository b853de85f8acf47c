"""The ingest stage: the soundings of the analysis time as observations that passed every check of their own."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.arrivals import Arrived, arrivals, as_json
from dacycle.cycler.cycle.records import Counts
from dacycle.cycler.cycle.states import Stage
from dacycle.cycler.cycle.statistics import count
from dacycle.cycler.cycle.task import INPUTS, OBSERVATIONS, Task
from dacycle.emulators.grid import bilinear
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.conversion import observations
from dacycle.obs.elevation import below_ground
from dacycle.obs.quality import screen
from dacycle.obs.source import SoundingSource

__all__ = ["Gathered", "NoSoundings", "gather", "ingest"]


class NoSoundings(Exception):  # noqa: N818
    """There is nothing to make a first analysis from; says why."""


@dataclass(frozen=True)
class Gathered:
    """What the source had for an analysis time: checked observations, which soundings, from which files.

    ``files``: name below the archive's root -> sha256; ``problems``: what could not be read, in words.
    """

    batch: ObservationBatch
    arrived: tuple[Arrived, ...]
    files: dict[str, str]
    problems: tuple[str, ...] = ()

    @classmethod
    def nothing(cls, time: datetime) -> "Gathered":
        """No soundings."""
        return cls(empty_batch(time), (), {})

    @property
    def received(self) -> int:
        """How many soundings."""
        return len(self.arrived)

    @property
    def digest(self) -> str:
        """sha256 over the observations: the same soundings give the same, whatever file they came in."""
        total = hashlib.sha256()
        for name, values in sorted(self.batch.arrays().items()):
            total.update(name.encode())
            total.update(np.ascontiguousarray(values).tobytes())
        return total.hexdigest()


def empty_batch(time: datetime) -> ObservationBatch:
    """A batch without values."""
    number, text = np.zeros(0), np.zeros(0, "U8")
    return ObservationBatch(
        analysis_time=time,
        channel=text,
        lat=number,
        lon=number,
        time=np.zeros(0, "datetime64[s]"),
        value=number,
        sigma=number,
        elevation=number,
        station=np.zeros(0, "U11"),
        report=np.zeros(0, "U30"),
        quality=np.zeros(0, np.int16),
    )


def gather(source: SoundingSource, bundle: Bundle, time: datetime, drift: bool = False) -> Gathered:
    """Ask the source, turn soundings into observations, check each by itself and against its own profile.

    SourceError where the source cannot be read at all; a file or line that cannot is a problem, and the rest counts.
    """
    problems = tuple(map(str, source.refresh(time)))
    soundings = source.fetch(time)
    files = {file.name: file.sha256 for file in soundings.inputs}
    problems += tuple(map(str, soundings.problems))
    if len(soundings) == 0:
        return Gathered(empty_batch(time), (), files, problems)
    batch = observations(soundings, time, bundle.channels, drift)
    return Gathered(_screened(batch, bundle), arrivals(soundings), files, problems)


def _screened(batch: ObservationBatch, bundle: Bundle) -> ObservationBatch:
    """Every check that needs no background; the climatological surface pressure tells where the model has no air."""
    if len(batch) == 0:
        return batch
    corners, weights = bilinear(bundle.grid, batch.lat, batch.lon)
    batch = screen(batch, (bundle.orography.ravel()[corners] * weights).sum(-1))
    names = [c.name for c in bundle.channels]
    if "sp" not in names:
        return batch
    pressure = bundle.climatology.mean(batch.analysis_time)[names.index("sp")].ravel()
    return below_ground(batch, (pressure[corners] * weights).sum(-1))


def ingest(task: Task, gathered: Gathered, now: datetime) -> None:
    """Keep what was gathered; NoSoundings where the cycle has neither a usable value nor a background."""
    batch = gathered.batch
    unread = ""
    if gathered.problems:
        unread = f"; {len(gathered.problems)} problems, the first: {gathered.problems[0]}"
        task.ledger.tell(f"{task.record.label}{unread}", now, "warning", task.record.id)
    usable = int((batch.quality == Quality.ASSIMILATED).sum())
    if task.start is None and usable == 0:
        where = task.config.source.location
        if gathered.received == 0:
            raise NoSoundings(f"no soundings within 3 hours of {task.record.time:%Y-%m-%dT%H} UTC in {where}{unread}")
        raise NoSoundings(f"{gathered.received} soundings, but not one usable value, in {where}{unread}")
    task.ledger.set_inputs(task.record.id, gathered.digest)
    rejected = count(batch, gathered.received)
    # Nothing is used before the check against the background; what failed already is known.
    task.ledger.set_counts(task.record.id, Counts(gathered.received, 0, 0, rejected.values))
    noted = {
        "received": gathered.received,
        "files": gathered.files,
        "problems": list(gathered.problems),
        "soundings": as_json(gathered.arrived),
    }
    task.work.keep_json(Stage.INGEST, INPUTS, noted)
    task.work.keep_batch(Stage.INGEST, OBSERVATIONS, batch)
