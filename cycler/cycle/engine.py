"""One cycle, from soundings to products: the stages in their order, each done once, through any interruption.

A stage is done when the ledger says so and the files it made are what they were. Whatever is not done is done again;
what stands on something that changed is too. Nothing here asks for the time: ``now`` comes in, and a monotonic clock
tells how long things took since.
"""

import hashlib
import json
import time as monotonic
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.ingest import Gathered, NoSoundings, gather, ingest
from dacycle.cycler.cycle.initial import Initial, open_initial
from dacycle.cycler.cycle.lease import leading
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.limits import limited
from dacycle.cycler.cycle.lock import exclusive
from dacycle.cycler.cycle.models import Models, threads
from dacycle.cycler.cycle.owed import SOURCE_NEWEST, SOURCE_SEEN
from dacycle.cycler.cycle.possible import require_grid
from dacycle.cycler.cycle.progress import Observer, Progress, Stopped, unobserved
from dacycle.cycler.cycle.records import CycleRecord, format_time
from dacycle.cycler.cycle.space import needed_bytes, unusable
from dacycle.cycler.cycle.states import ACTIVE, PUBLISHED, STATE_OF, Stage, State, Stream
from dacycle.cycler.cycle.task import FORECAST, INITIAL, INPUTS, OBSERVATIONS, Task
from dacycle.cycler.cycle.workspace import Workspace
from dacycle.cycler.products.atomic import clear_stale, describe
from dacycle.cycler.products.catalogue import lying
from dacycle.errors import ClusterError, DacycleError, SourceError, StateError
from dacycle.obs.source import SoundingSource, open_source

__all__ = ["FARTHEST", "Engine", "open_engine", "run_cycle"]

FARTHEST = timedelta(days=30)
"""So long a forecast says nothing any more."""

DECIDING = {"ensemble", "assimilation", "letkf", "quality", "products", "issuer"}
INDIFFERENT = {"ensemble": {"executor", "address", "workers"}, "products": {"retention_days", "archive"}}
"""The configuration's part that decides a cycle's bytes, and of that what only decides how long they take, or stay."""


@dataclass
class Engine:
    """Runs cycles on a state directory that it alone writes."""

    config: Config
    ledger: Ledger
    bundle: Bundle
    source: SoundingSource
    models: Models
    observer: Observer = unobserved

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.config.paths.state

    def recover(self, now: datetime) -> None:
        """Set right what a killed process left: call it before anything else."""
        clear_stale(self.state)
        self.settle(now)
        for record in self.ledger.in_states(PUBLISHED):
            self._tidy(record)
        for record in self.ledger.replaced():
            self.discard(record)
        for time, stream in self.ledger.uncatalogued():
            self.ledger.enter_products(time, stream, lying(self.state, time, stream))

    def settle(self, now: datetime) -> None:
        """No cycle is under way: what the ledger has as such could not be ended there, or its process died."""
        for record in self.ledger.in_states(ACTIVE):
            text = f"{record.label} was interrupted while {record.state}; it continues where it stopped"
            self.ledger.move(record.id, State.PENDING, now, "interrupted", tell=text, level="warning")

    def look(self, now: datetime) -> datetime | None:
        """Ask the source for its newest time and remember it; SourceError where it cannot be read."""
        newest = self.source.newest()
        if newest is not None:
            self.ledger.set_note(SOURCE_NEWEST, format_time(newest))
            self.ledger.set_note(SOURCE_SEEN, format_time(now))
        return newest

    def run(self, time: datetime, now: datetime, without_source: bool = False, blind: bool = False) -> CycleRecord:
        """The delayed cycle of that time, at once, with what the source has; a published one is left as it is.

        It ends published, published_free_forecast, or waiting_obs where there is neither background nor sounding.
        ``without_source``: a source that cannot be read counts as one without soundings; ``blind``: the source is not
        asked at all, and the cycle goes on with the forecast.
        """
        require_grid(self.config, time)
        valid = self.ledger.valid(time, Stream.DELAYED)
        if valid is not None:
            return valid
        record = self.ledger.add_cycle(time, Stream.DELAYED, now)
        base = self.base_of(time, now)
        gathering = partial(Gathered.nothing if blind else partial(self._gather, without_source), time)
        return self.perform(record, base, gathering, now, blind)

    def base_of(self, time: datetime, now: datetime) -> CycleRecord | None:
        """Whose analysis the delayed cycle of that time starts from: the one before it.

        Over cycles that were skipped or expired the forecast is the longer. Initial states that were damaged are made
        anew first.
        """
        before = time - self.config.interval
        while time - before <= FARTHEST:
            found = self.ledger.valid(before, Stream.DELAYED)
            if found is not None:
                if self.workspace(found).sha256(INITIAL) and not self.workspace(found).has(INITIAL):
                    self._mend(found, now)
                return self.usable(found)
            known = self.ledger.cycle(before, Stream.DELAYED)
            if known is None or known.state != State.EXPIRED:
                return None
            before -= self.config.interval
        return None

    def usable(self, record: CycleRecord | None) -> CycleRecord | None:
        """The cycle, if another can start from it: it is published, and its initial states are still kept.

        StateError where they should be there and are not what they were: starting anew without them would lose the
        cycle's memory in silence.
        """
        if record is None or record.state not in PUBLISHED:
            return None
        work = self.workspace(record)
        if not work.sha256(INITIAL):
            return None
        if not work.has(INITIAL):
            raise StateError(
                f"{work.folder / INITIAL}, where the cycle after {record.label} starts, is damaged or gone; "
                f"`dacycle rerun {record.time:%Y-%m-%dT%H}` makes it anew"
            )
        return record

    def _mend(self, record: CycleRecord, now: datetime) -> None:
        """Make the initial states of a published cycle anew from what else it kept; nothing where that is damaged."""
        from dacycle.cycler.cycle.assimilate import assimilate
        from dacycle.cycler.cycle.reinitialise import reinitialise

        base = self.ledger.by_id(record.base) if record.base is not None else None
        task = self._task(record, base, None if base is not None else self._initial(record))
        known = task.work.sha256(INITIAL)
        needed = [INPUTS, OBSERVATIONS, *([FORECAST] if record.background == "forecast" else [])]
        if not all(map(task.work.has, needed)):
            return
        self.models.prepare()
        assimilate(task)
        reinitialise(task)
        self._tidy(record)
        same = "" if task.work.sha256(INITIAL) == known else ", but not the same, for the settings have changed since"
        text = f"{record.label}: its initial states were damaged; they were made anew{same}"
        self.ledger.tell(text, now, "warning", record.id)

    def perform(
        self,
        record: CycleRecord,
        base: CycleRecord | None,
        gathering: Callable[[], Gathered],
        now: datetime,
        blind: bool = False,
    ) -> CycleRecord:
        """All stages of a cycle that are not done yet."""
        began = monotonic.monotonic()

        def present() -> datetime:
            return now + timedelta(seconds=int(monotonic.monotonic() - began))

        initial = None if base is not None else self._initial(record)
        if self.ledger.begin_attempt(record.id, self.settings(record.time, base, blind, initial)):
            self.workspace(record).remove()
        background = "none" if base is None and initial is None else "forecast"
        self.ledger.start_from(record.id, background, base.id if base else None)
        record = self.ledger.by_id(record.id)
        task = self._task(record, base, initial)
        task.tell("cycle_begin")
        try:
            self._stages(task, gathering, present, blind)
            task.tell("cycle_end")
        except NoSoundings as none:
            text = f"{record.label} waits: {none}"
            return self.ledger.move(record.id, State.WAITING_OBS, present(), str(none), tell=text)
        except (Stopped, KeyboardInterrupt):
            with suppress(DacycleError):
                self.ledger.move(record.id, State.PENDING, present(), "interrupted; the next start continues it")
            raise
        except ClusterError as error:
            # No fault of the cycle's: it neither counts as a failed attempt nor goes on blindly after some.
            self.ledger.move(record.id, State.PENDING, present(), str(error))
            raise
        except SourceError as error:
            self.ledger.move(record.id, State.WAITING_OBS, present(), str(error), tell=str(error), level="warning")
            raise
        except Exception as error:
            trouble = unusable(self.state, needed_bytes(self.config, self.bundle))
            if trouble is not None:
                # Not the cycle's fault: it counts as no failure, and it goes on when there is room again.
                with suppress(DacycleError):
                    self.ledger.move(record.id, State.PENDING, present(), trouble)
                raise StateError(trouble) from error
            reason = str(error) if isinstance(error, DacycleError) else f"{type(error).__name__}: {error}"
            reason = " ".join(reason.split())
            self.ledger.move(
                record.id, State.FAILED, present(), reason, tell=f"{record.label} failed: {reason}", level="error"
            )
            raise
        self._tidy(record)
        return self.ledger.by_id(record.id)

    def _stages(
        self, task: Task, gathering: Callable[[], Gathered], present: Callable[[], datetime], blind: bool
    ) -> None:
        from dacycle.cycler.cycle.assimilate import assimilate
        from dacycle.cycler.cycle.forecast import forecast
        from dacycle.cycler.cycle.publish import publish
        from dacycle.cycler.cycle.reinitialise import reinitialise

        self.models.prepare()
        fresh = self._stage(task, Stage.INGEST, lambda task: ingest(task, gathering(), present()), present)
        fresh = self._stage(task, Stage.FORECAST, forecast, present, fresh)
        fresh = self._stage(task, Stage.ASSIMILATE, assimilate, present, fresh)
        fresh = self._stage(task, Stage.REINITIALISE, reinitialise, present, fresh)
        self._stage(task, Stage.PUBLISH, publish, present, fresh)
        record = task.record
        reason = ""
        if blind:
            reason = f"quarantined after {record.failed_attempts} tries: {record.reason}"
        if task.free:
            state, text = State.PUBLISHED_FREE_FORECAST, "published as a free forecast: no sounding had a say"
        else:
            counts = self.ledger.counts(record.id)
            state, text = State.PUBLISHED, f"published with {counts.used} of {counts.received} soundings"
        self.ledger.move(record.id, state, present(), reason, tell=f"{record.label} {text}")

    def _stage(
        self,
        task: Task,
        stage: Stage,
        work: Callable[[Task], None],
        present: Callable[[], datetime],
        fresh: bool = False,
    ) -> bool:
        """Do a stage unless it is done; True when it, or one before it, was done anew."""
        record = task.record
        trouble = unusable(self.state, needed_bytes(self.config, self.bundle))
        if trouble is not None:
            raise StateError(trouble)
        done = self.ledger.stages(record.id).get(stage)
        self.ledger.move(record.id, STATE_OF[stage], present())
        if done is not None and done.state == "done":
            if not fresh and task.work.intact(stage):
                return False
            self.ledger.undo_stage(record.id, stage)
            fresh = True
        elif fresh and done is not None:
            self.ledger.undo_stage(record.id, stage)
        self.ledger.begin_stage(record.id, stage, present())
        task.tell("stage_begin", stage)
        began = monotonic.monotonic()
        try:
            work(limited(task, stage, self.config.cycle.stage_timeout_seconds))
        except BaseException:
            with suppress(DacycleError):
                self.ledger.end_stage(record.id, stage, monotonic.monotonic() - began, failed=True)
            raise
        self.ledger.end_stage(record.id, stage, monotonic.monotonic() - began)
        task.tell("stage_end", stage)
        return True

    @cached_property
    def digest(self) -> str:
        """Of the bundle, the program and the configuration's part that decides a cycle's bytes."""
        told = {
            "bundle": self.bundle.digest,
            "version": version("dacycle"),
            "threads": threads(self.config),
            **self.config.model_dump(mode="json", include=DECIDING, exclude=INDIFFERENT),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def settings(
        self, time: datetime, base: CycleRecord | None, blind: bool = False, initial: Initial | None = None
    ) -> str:
        """Digest of all that decides the bytes of the cycle at ``time`` besides its soundings."""
        start = self.workspace(base).sha256(INITIAL) if base else initial.sha256 if initial else ""
        learnt = self.ledger.adaptation(base.id) if base else ""
        wanted = self.config.assimilation.model_observations
        models = {str(path): describe(path).sha256 for path in (one.at(time) for one in wanted) if path.is_file()}
        return hashlib.sha256(f"{self.digest} {start} {blind} {learnt} {models}".encode()).hexdigest()

    def _initial(self, record: CycleRecord) -> Initial | None:
        """What the first of all cycles starts from, if it is configured."""
        path = self.config.cycle.initial
        before = self.ledger.cycles(Stream.DELAYED, until=record.time - self.config.interval)
        if path is None or record.stream != Stream.DELAYED or any(r.state in PUBLISHED for r in before):
            return None
        return open_initial(path, self.bundle, record.time)

    def gather(self, time: datetime) -> Gathered:
        """The soundings that the source has of a time; SourceError where it cannot be read."""
        return gather(self.source, self.bundle, time, self.config.quality.balloon_drift)

    def _gather(self, without_source: bool, time: datetime) -> Gathered:
        try:
            return self.gather(time)
        except SourceError:
            if not without_source:
                raise
            return Gathered.nothing(time)

    def _task(self, record: CycleRecord, base: CycleRecord | None, initial: Initial | None = None) -> Task:
        return Task(
            config=self.config,
            bundle=self.bundle,
            models=self.models,
            ledger=self.ledger,
            record=record,
            work=self.workspace(record),
            base=base,
            base_work=self.workspace(base) if base else None,
            initial=initial,
            observer=self.observer,
            config_digest=self.digest,
        )

    def workspace(self, record: CycleRecord) -> Workspace:
        """The files of a cycle's version."""

        def observe(point: str, name: str) -> None:
            self.observer(Progress(point, record.time, str(record.stream), detail=name))

        return Workspace(self.state, self.ledger, record, observe)

    def _tidy(self, record: CycleRecord) -> None:
        """Members on the analysis grid are in the products now."""
        work = self.workspace(record)
        # The folder is asked, too: a kill may come after the ledger forgot a file and before the file went.
        there = {path.name for path in work.folder.glob("chunk-*")}
        names = there.union(self.ledger.artefacts(record.id, Stage.ASSIMILATE))
        chunks = sorted(name for name in names if name.startswith("chunk-"))
        if chunks:
            work.discard(*chunks)

    def discard(self, record: CycleRecord) -> None:
        """Let go of the files that a replaced cycle made."""
        work = self.workspace(record)
        self.ledger.forget_artefacts(record.id, self.ledger.artefacts(record.id))
        work.remove()


def check_products(config: Config, bundle: Bundle) -> None:
    """ConfigError, before anything is computed, for products that the bundle's channels do not give."""
    if config.products.derived or config.products.probabilities:
        from dacycle.cycler.cycle.publish import thresholds

        thresholds(config, bundle)


@contextmanager
def open_engine(config: Config, now: datetime, observer: Observer = unobserved) -> Iterator[Engine]:
    """An engine on the configuration's state directory, which is locked meanwhile, and recovered."""
    with exclusive(config.paths.state):
        bundle = open_bundle(config.bundle.path)
        check_products(config, bundle)
        source = open_source(config.source.kind, config.source.location, config.paths.state / "mirror")
        with Ledger.open(config.paths.state) as ledger, leading(ledger):
            ledger.check()
            engine = Engine(config, ledger, bundle, source, Models(config, bundle), observer)
            try:
                engine.recover(now)
                yield engine
            finally:
                engine.models.close()


def run_cycle(config: Config, time: datetime, now: datetime, observer: Observer = unobserved) -> CycleRecord:
    """One delayed cycle by itself."""
    with open_engine(config, now, observer) as engine:
        return engine.run(time, now)
