"""What the daemon does when it wakes: whatever the ledger says is owed, oldest first, then the early stream."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from dacycle.cycler.cycle.early import run_early
from dacycle.cycler.cycle.engine import FARTHEST, Engine
from dacycle.cycler.cycle.interventions import carry_out
from dacycle.cycler.cycle.owed import (
    FIRST,
    SOURCE_NEWEST,
    SOURCE_TROUBLE,
    Owed,
    first_time,
    owed_delayed,
    stale_delayed,
)
from dacycle.cycler.cycle.progress import Progress
from dacycle.cycler.cycle.records import CycleRecord, format_time
from dacycle.cycler.cycle.reruns import count_late, give_up, owed_rerun, rerun, spare
from dacycle.cycler.cycle.retention import retire
from dacycle.cycler.cycle.space import needed_bytes, unusable
from dacycle.cycler.cycle.states import FINISHED, State, Stream
from dacycle.cycler.service.clockwatch import ClockWatch
from dacycle.errors import ClusterError, DacycleError, SourceError

__all__ = ["Worker"]

WAIT = timedelta(minutes=5)
"""Between two looks at a source that had nothing; the first pause after a failure, doubled after each further one."""
LONGEST_WAIT = timedelta(hours=6)
EARLY_EVERY = timedelta(minutes=30)
RETIRE_EVERY = timedelta(hours=1)
REFRESH_EVERY = timedelta(minutes=10)
LATE_EVERY = timedelta(minutes=30)
BACKUP_EVERY = timedelta(days=1)
STREAK = "streak"  # note in the ledger: since when, once it was told


class Worker:
    """Brings the ledger up to date. Its memory between two calls only saves work: all that matters is in the ledger."""

    def __init__(
        self, engine: Engine, clock: Callable[[], datetime], steady: Callable[[], float] | None = None
    ) -> None:
        """``steady``: seconds that no clock adjustment moves, to tell one by; None: the clock is never adjusted."""
        self.engine, self.clock = engine, clock
        self.trouble: str | None = None
        self._jumps = ClockWatch(clock, steady)
        self._log = structlog.get_logger("dacycle.worker")
        self._told: dict[str, str] = {}
        self._early_done: tuple[datetime, int] | None = None
        self._last: dict[str, datetime] = {}

    def work(self) -> None:
        """Everything that is owed now. ``Stopped`` passes through; what goes wrong with a cycle is in the ledger.

        ``trouble`` says afterwards why no cycle can run just now, None where one could.
        """
        try:
            self.trouble = self._all()
        except DacycleError as error:
            self.trouble = str(error)
            raise

    def _all(self) -> str | None:
        ledger, config = self.engine.ledger, self.engine.config
        blocked = unusable(self.engine.state, needed_bytes(config, self.engine.bundle))
        if blocked is not None:
            self._once("state", blocked, "error")
            return blocked
        if self._told.pop("state", None):
            ledger.tell("the state directory can be used again", self.clock())
        if (jump := self._jumps.look()) is not None:
            ledger.tell(f"the clock jumped by {jump}; nothing is given up for a while", self.clock(), "warning")
        self.engine.settle(self.clock())
        carry_out(self.engine, self.clock())
        newest = self._look()
        first = first_time(ledger, config, newest)
        if first is None:
            if (unread := self._told.get("source")) is not None:
                return unread
            text = "nothing to begin with: the source has no soundings and [cycle] first is not set"
            self._once("first", text)
            return text
        if ledger.note(FIRST) is None:
            ledger.set_note(FIRST, format_time(first))
        if not self._jumps.recent:
            reason = f"due for more than {config.cycle.catch_up_limit_days:g} days"
            ledger.expire(stale_delayed(ledger, config, first, newest, self.clock()), self.clock(), reason)
        if self._is_time("late", LATE_EVERY):
            self._count_late()
        self._reruns()
        while (owed := owed_delayed(ledger, config, first, newest, self.clock())) is not None:
            if owed.last_call and self._jumps.recent:
                break
            if not self._delayed(owed):
                break
            carry_out(self.engine, self.clock())
            newest = self._look()  # catching up may take hours
        self._watch_streak()
        if config.cycle.early_stream:
            self._early()
        if self._is_time("retire", RETIRE_EVERY):
            self._retire()
        if self._is_time("backup", BACKUP_EVERY):
            self._back_up()
        return None

    def _is_time(self, topic: str, every: timedelta) -> bool:
        """Now and then, by the clock; at once when it was set back."""
        now, last = self.clock(), self._last.get(topic)
        if last is not None and timedelta(0) <= now - last < every:
            return False
        self._last[topic] = now
        return True

    def _look(self) -> datetime | None:
        now = self.clock()
        try:
            if "source" in self._told or self._is_time("refresh", REFRESH_EVERY):
                self.engine.observer(Progress("source", now, "", detail="refresh"))
                self.engine.source.refresh()
            newest = self.engine.look(now)
        except SourceError as error:
            self._once("source", f"{SOURCE_TROUBLE}{error}", "warning")
            return self.engine.ledger.time_note(SOURCE_NEWEST)
        if self._told.pop("source", None):
            self.engine.ledger.tell("the source can be read again", now)
        return newest

    def _count_late(self) -> None:
        try:
            count_late(self.engine, self.clock())
        except SourceError as error:
            self._once("source", f"{SOURCE_TROUBLE}{error}", "warning")

    def _reruns(self) -> None:
        """One pass: what was marked, and what grew on it, oldest first; it ends where one has to wait."""
        ledger = self.engine.ledger
        while (owed := owed_rerun(ledger)) is not None:
            record, now = ledger.cycle(owed.old.time, Stream.DELAYED) or owed.old, self.clock()
            again = record.id != owed.old.id and record.state in (State.FAILED, State.WAITING_OBS)
            if again and _waits(record, now):
                return
            try:
                rerun(self.engine, owed, now)
                continue
            except DacycleError as error:
                self._log.error("rerun_failed", time=format_time(owed.old.time), reason=str(error))
            except Exception:
                self._log.exception("rerun_failed", time=format_time(owed.old.time))
            record = ledger.cycle(owed.old.time, Stream.DELAYED) or owed.old
            if record.state != State.FAILED or record.failed_attempts < self.engine.config.cycle.max_attempts:
                return
            give_up(self.engine, owed, record, self.clock())

    def _delayed(self, owed: Owed) -> bool:
        """Run it; False when it did not come to an end, so that the ones after it have to wait."""
        ledger, now = self.engine.ledger, self.clock()
        record = ledger.cycle(owed.time, Stream.DELAYED)
        blind = False
        if record is not None and record.state in (State.FAILED, State.WAITING_OBS):
            if _waits(record, now) and not (owed.last_call and record.state == State.WAITING_OBS):
                return False
            blind = record.failed_attempts >= self.engine.config.cycle.max_attempts
        try:
            record = self.engine.run(owed.time, now, without_source=owed.last_call, blind=blind)
            if blind:
                spare(ledger, record, record.reason)
        except ClusterError as error:
            self._once("cluster", f"{format_time(owed.time)} waits for the cluster: {error}", "warning")
            return False
        except DacycleError as error:
            self._log.error("cycle_failed", time=format_time(owed.time), reason=str(error))
        except Exception:
            self._log.exception("cycle_failed", time=format_time(owed.time))
        record = ledger.cycle(owed.time, Stream.DELAYED)
        if record is None or record.state in FINISHED:
            return True
        if (blind and record.state != State.PENDING) or (owed.last_call and record.state == State.WAITING_OBS):
            why = f"given up after {record.attempts} tries: {record.reason}"
            ledger.expire([record.time], self.clock(), why)
            return True
        return False

    def _watch_streak(self) -> None:
        """An alarm when the soundings stay away, once for every streak."""
        ledger, limit = self.engine.ledger, self.engine.config.cycle.free_forecast_alarm
        newest = [r for r in ledger.cycles(Stream.DELAYED, newest=limit) if r.state == State.PUBLISHED_FREE_FORECAST]
        told = ledger.note(STREAK)
        if len(newest) < limit:
            if told:
                ledger.set_note(STREAK, "")
        elif not told:
            since = format_time(newest[0].time)
            ledger.set_note(STREAK, since)
            text = f"no soundings in {limit} cycles in a row, since {since}: is the source still what it was?"
            self._log.error("free_forecast_streak", text=text)
            ledger.tell(text, self.clock(), "error")

    def _early(self) -> None:
        """Bring the early stream to the present: for a new time, a new base, and now and then late soundings."""
        ledger, now = self.engine.ledger, self.clock()
        target = self.engine.config.floor(now)
        base = ledger.newest_published(Stream.DELAYED)
        if base is None or target <= base.time or target - base.time > FARTHEST:
            return
        if self._early_done == (target, base.id) and not self._is_time("early", EARLY_EVERY):
            return
        self._last["early"] = now
        try:
            run_early(self.engine, target, now)
        except DacycleError as error:
            self._once("early", f"the early stream stopped: {error}", "warning")
        except Exception:
            self._log.exception("early_failed", time=format_time(target))
        else:
            self._told.pop("early", None)
        self._early_done = target, base.id

    def _retire(self) -> None:
        """Let old products go, and the files of cycles that nothing can start from any more."""
        now = self.clock()
        try:
            retire(self.engine.ledger, self.engine.config, now)
        except DacycleError as error:
            self._once("retention", f"old products could not be removed: {error}", "warning")
        else:
            self._told.pop("retention", None)

    def _back_up(self) -> None:
        """Keep a copy of the ledger that `dacycle repair` can go back to."""
        try:
            self.engine.ledger.back_up()
        except DacycleError as error:
            self._once("backup", f"no backup of the ledger: {error}", "error")
        else:
            self._told.pop("backup", None)

    def _once(self, topic: str, text: str, level: str = "info") -> None:
        """Tell the log and the operator, but not again at every waking."""
        if self._told.get(topic) != text:
            self._told[topic] = text
            self._log.log({"info": 20, "warning": 30}.get(level, 40), topic, text=text)
            self.engine.ledger.tell(text, self.clock(), level, logged=True)


def _waits(record: CycleRecord, now: datetime) -> bool:
    """Whether to leave a cycle alone that did not come to its end; a clock that was set back makes none wait long."""
    doubled = WAIT * 2.0 ** max(record.failed_attempts - 1, 0)
    return -WAIT <= now - record.changed_at < min(doubled, LONGEST_WAIT)
