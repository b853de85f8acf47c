"""What the daemon does when it wakes: whatever the ledger says is owed, oldest first, then the early stream."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from dacycle.cycler.cycle.early import FARTHEST, run_early
from dacycle.cycler.cycle.engine import Engine
from dacycle.cycler.cycle.owed import FIRST, SOURCE_NEWEST, Owed, first_time, owed_delayed, stale_delayed
from dacycle.cycler.cycle.records import CycleRecord, format_time
from dacycle.cycler.cycle.retention import retire
from dacycle.cycler.cycle.states import FINISHED, State, Stream
from dacycle.errors import ClusterError, DacycleError, SourceError

__all__ = ["Worker"]

WAIT = timedelta(minutes=5)
"""Between two looks at a source that had nothing; the first pause after a failure, doubled after each further one."""
LONGEST_WAIT = timedelta(hours=6)
EARLY_EVERY = timedelta(minutes=30)
RETIRE_EVERY = timedelta(hours=1)


class Worker:
    """Brings the ledger up to date. Its memory between two calls only saves work: all that matters is in the ledger."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self.engine, self.clock = engine, clock
        self._log = structlog.get_logger("dacycle.worker")
        self._told: dict[str, str] = {}
        self._early_done: tuple[datetime, int] | None = None
        self._early_at: datetime | None = None
        self._retired_at: datetime | None = None

    def work(self) -> None:
        """Everything that is owed now. ``Stopped`` passes through; what goes wrong with a cycle is in the ledger."""
        ledger, config = self.engine.ledger, self.engine.config
        newest = self._look()
        first = first_time(ledger, config, newest)
        if first is None:
            self._once("first", "nothing to begin with: the source has no soundings and [cycle] first is not set")
            return
        if ledger.note(FIRST) is None:
            ledger.set_note(FIRST, format_time(first))
        reason = f"due for more than {config.cycle.catch_up_limit_days:g} days"
        ledger.expire(stale_delayed(ledger, config, first, newest, self.clock()), self.clock(), reason)
        while (owed := owed_delayed(ledger, config, first, newest, self.clock())) is not None:
            if not self._delayed(owed):
                break
        if config.cycle.early_stream:
            self._early()
        self._retire()

    def _look(self) -> datetime | None:
        now = self.clock()
        try:
            self.engine.source.refresh()
            newest = self.engine.look(now)
        except SourceError as error:
            self._once("source", f"the source cannot be read: {error}", "warning")
            return self.engine.ledger.time_note(SOURCE_NEWEST)
        if self._told.pop("source", None):
            self.engine.ledger.tell("the source can be read again", now)
        return newest

    def _delayed(self, owed: Owed) -> bool:
        """Run it; False when it did not come to an end, so that the ones after it have to wait."""
        ledger, now = self.engine.ledger, self.clock()
        record = ledger.cycle(owed.time, Stream.DELAYED)
        blind = False
        if record is not None and record.state in (State.FAILED, State.WAITING_OBS):
            if now < record.changed_at + _pause(record) and not (owed.last_call and record.state == State.WAITING_OBS):
                return False
            blind = record.failed_attempts >= self.engine.config.cycle.max_attempts
        try:
            record = self.engine.run(owed.time, now, without_source=owed.last_call, blind=blind)
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
        if blind or (owed.last_call and record.state == State.WAITING_OBS):
            why = f"given up after {record.attempts} tries: {record.reason}"
            ledger.expire([record.time], self.clock(), why)
            return True
        return False

    def _early(self) -> None:
        """Bring the early stream to the present: for a new time, a new base, and now and then late soundings."""
        ledger, now = self.engine.ledger, self.clock()
        target = self.engine.config.floor(now)
        base = ledger.newest_published(Stream.DELAYED)
        if base is None or target <= base.time or target - base.time > FARTHEST:
            return
        due = self._early_at is None or not timedelta(0) <= now - self._early_at < EARLY_EVERY
        if self._early_done == (target, base.id) and not due:
            return
        try:
            run_early(self.engine, target, now)
        except DacycleError as error:
            self._once("early", f"the early stream stopped: {error}", "warning")
        except Exception:
            self._log.exception("early_failed", time=format_time(target))
        else:
            self._told.pop("early", None)
        self._early_done, self._early_at = (target, base.id), now

    def _retire(self) -> None:
        """Let old products go, now and then."""
        now = self.clock()
        if self._retired_at is not None and timedelta(0) <= now - self._retired_at < RETIRE_EVERY:
            return
        self._retired_at = now
        try:
            retire(self.engine.ledger, self.engine.config, now)
        except DacycleError as error:
            self._once("retention", f"old products could not be removed: {error}", "warning")
        else:
            self._told.pop("retention", None)

    def _once(self, topic: str, text: str, level: str = "info") -> None:
        """Tell the log and the operator, but not again at every waking."""
        if self._told.get(topic) != text:
            self._told[topic] = text
            self.engine.ledger.tell(text, self.clock(), level)
            self._log.log(30 if level == "warning" else 20, topic, text=text)


def _pause(record: CycleRecord) -> timedelta:
    """How long to leave a cycle alone that did not come to its end."""
    doubled = WAIT * 2.0 ** max(record.failed_attempts - 1, 0)
    return min(doubled, LONGEST_WAIT)
