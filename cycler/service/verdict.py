"""One sentence that says whether the cycle is healthy, one that says why, one that says what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.owed import SOURCE_NEWEST, SOURCE_SEEN, complete, first_time, lag, next_due, next_time
from dacycle.cycler.cycle.records import CycleRecord, format_time
from dacycle.cycler.cycle.space import room
from dacycle.cycler.cycle.states import FINISHED, PUBLISHED, State, Stream
from dacycle.cycler.service.advice import advice
from dacycle.cycler.service.health import STARTING, STOPPING, Word

__all__ = ["Situation", "Verdict", "hours", "situation", "status_json", "streak", "verdict"]

LATE = timedelta(hours=24)
UNREAD = timedelta(hours=6)
LEAST_FREE = 2 * 10**9  # bytes
LOOKED_AT = 100


@dataclass(frozen=True)
class Verdict:
    """``level``: good, busy (nothing is wrong, it is not done yet), watch, bad; ``runbook``: the entry to read."""

    level: Literal["good", "busy", "watch", "bad"]
    headline: str
    why: str = ""
    advice: str = ""
    runbook: str = ""


@dataclass(frozen=True)
class Situation:
    """What the verdict rests on; ``records``: the newest delayed cycles of the configured period, oldest first.

    ``next``: the analysis time that is to be published next; ``endings``: what became of a period that is over.
    """

    now: datetime
    word: Word
    records: list[CycleRecord]
    newest: CycleRecord | None
    next: datetime | None
    due: datetime | None
    late: timedelta
    complete: bool
    endings: Mapping[State, int]
    source_newest: datetime | None
    source_seen: datetime | None
    free: int
    size: int

    @property
    def running(self) -> bool:
        """Whether a stage of a cycle is being worked on, rather than the source being asked."""
        return ": " in self.word.busy

    @property
    def open(self) -> CycleRecord | None:
        """The delayed cycle that is to be published next, if it has begun; not one that is held for later."""
        unfinished = [r for r in self._unfinished if self.next is None or r.time <= self.next]
        return unfinished[0] if unfinished else None

    @property
    def held_later(self) -> CycleRecord | None:
        """The first cycle behind the next one that an operator holds."""
        return next((r for r in self._unfinished if r.held and self.next is not None and r.time > self.next), None)

    @property
    def _unfinished(self) -> list[CycleRecord]:
        return [r for r in self.records if r.state not in FINISHED]


def situation(history: History, config: Config, word: Word) -> Situation:
    """Look around."""
    free, size = room(config.paths.state)
    first, last, done = first_time(history, config, None), config.cycle.last, complete(history, config)
    return Situation(
        now=word.now,
        word=word,
        records=history.cycles(Stream.DELAYED, since=first, until=last, newest=LOOKED_AT),
        newest=history.newest_published(Stream.DELAYED),
        next=next_time(history, config),
        due=next_due(history, config),
        late=lag(history, config, word.now),
        complete=done,
        endings=history.endings(Stream.DELAYED, first, last) if done and first and last else {},
        source_newest=history.time_note(SOURCE_NEWEST),
        source_seen=history.time_note(SOURCE_SEEN),
        free=free,
        size=size,
    )


def streak(states: Iterable[str]) -> int:
    """How many of the newest published cycles, in a row, had no soundings; ``states`` from the newest back."""
    count = 0
    for state in states:
        if state == State.PUBLISHED:
            break
        count += state == State.PUBLISHED_FREE_FORECAST
    return count


def verdict(s: Situation) -> Verdict:
    """The worst that there is to say."""
    return _broken(s) or _stuck(s) or _degraded(s) or _fine(s)


def _broken(s: Situation) -> Verdict | None:
    if s.word.stalled or s.word.trouble:
        return _hindered(s.word)
    if s.free < LEAST_FREE:
        advice = "Make room, or set [products] retention_days; writing goes on by itself as soon as there is space."
        return Verdict("bad", "The disk is nearly full", f"{s.free / 1e9:.1f} GB are free.", advice, "disklow")
    record = s.open
    if record is not None and record.state == State.FAILED:
        advice = "It is tried again by itself, then given up, and the cycle goes on with the forecast. "
        advice += "If the reason does not explain itself, run dacycle doctor."
        return Verdict("bad", f"The cycle of {_name(record)} failed", record.reason, advice, "cyclefailed")
    return None


def _hindered(word: Word) -> Verdict:
    """No cycle can run: because of what is around the daemon, or of the daemon itself."""
    if not word.stalled and word.trouble in (STARTING, STOPPING):
        return Verdict("busy", _sentence(word.trouble), "It takes a few seconds.")
    cure, entry = advice(word.trouble)
    if cure and not word.stalled:
        return Verdict("bad", "No cycle can run", f"{_sentence(word.trouble)}.", cure, entry)
    cure = "Look at the log (journalctl -u dacycle), then restart the service: nothing is lost by that."
    return Verdict("bad", "The daemon does not work", f"{_sentence(word.trouble or word.stalled)}.", cure, "down")


def _stuck(s: Situation) -> Verdict | None:
    record = s.open
    if record is not None and record.held:
        why = "An operator said: not yet. It and those after it wait, and none expires."
        advice = f"When you are ready: dacycle release {record.time:%Y-%m-%dT%H}."
        return Verdict("watch", f"The cycle of {_name(record)} is held", why, advice)
    if s.late > LATE and not s.running:
        why = f"It was due {hours(s.late)} ago. {_waiting(record)}"
        advice = "Soundings that are this late usually mean that the source has stopped, or cannot be reached."
        return Verdict("watch", "The cycle is late", why.strip(), advice, "cyclelate")
    seen = s.source_seen
    if seen is not None and s.now - seen > UNREAD and not (s.complete or s.running):  # who computes does not ask
        why = f"It was last read {hours(s.now - seen)} ago."
        advice = "Check the network and [source] location with dacycle doctor. Cycles go on with what is at hand."
        return Verdict("watch", "The source of soundings cannot be read", why, advice, "sourcestale")
    return None


def _degraded(s: Situation) -> Verdict | None:
    if (row := streak(r.state for r in reversed(s.records))) >= 2:
        why = f"The newest {row} cycles are forecasts: no soundings had a say, and errors grow."
        advice = "Find out why soundings are missing: dacycle doctor. Rerun the cycles once they have arrived."
        return Verdict("watch", "The cycle runs without soundings", why, advice, "freeforecaststreak")
    if s.newest is None:
        newest = [r for r in s.records if r.state == State.WAITING_OBS]
        if newest:
            advice = "The first cycle needs soundings; it starts by itself when they arrive."
            return Verdict("busy", "Waiting for the first soundings", newest[-1].reason, advice, "noobservations")
    return None


def _fine(s: Situation) -> Verdict:
    if s.running:
        return Verdict("busy", "A cycle is running", f"{s.word.busy}.")
    if s.complete and s.open is None:
        return _over(s)
    if s.newest is None:
        return Verdict("busy", "No analysis yet", "The daemon has just begun.")
    record = s.open
    if record is not None and record.state == State.WAITING_OBS:
        return Verdict("good", "The cycle is healthy", f"It waits for soundings of {_name(record)}.")
    due = f"The next cycle is due {s.due:%Y-%m-%d %H:%M} UTC." if s.due else ""
    held = f" That of {_name(s.held_later)} is held: it and those after it wait." if s.held_later else ""
    return Verdict("good", "The cycle is healthy", due + held)


def _over(s: Situation) -> Verdict:
    last = f"The last one was {s.newest.time:%Y-%m-%d %H} UTC." if s.newest else ""
    advice = "The configuration ends there ([cycle] last); nothing more is due, and this page stays."
    if s.endings.keys() <= PUBLISHED:
        return Verdict("good", "All cycles of the period are done", last, advice)
    published = sum(n for state, n in s.endings.items() if state in PUBLISHED)
    told = f"The period is over: {published} published, {s.endings[State.EXPIRED]} expired"
    return Verdict("watch", told, last, f"{advice} To have one all the same: dacycle rerun TIME.", "cyclelate")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _waiting(record: CycleRecord | None) -> str:
    return f"{_name(record)}: {record.reason}." if record is not None and record.reason else ""


def _name(record: CycleRecord) -> str:
    return f"{record.time:%Y-%m-%d %H} UTC"


def hours(span: timedelta) -> str:
    """A length of time as one says it."""
    number = max(span.total_seconds(), 0.0) / 3600
    if number < 0.995:
        return _counted(round(number * 60), "minute")
    return _counted(round(number), "hour") if number < 72 else _counted(round(number / 24), "day")


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def status_json(s: Situation) -> dict[str, Any]:
    """The situation for programs."""
    return {
        "now": format_time(s.now),
        "verdict": asdict(verdict(s)),
        "busy": {"what": s.word.busy, "done": s.word.done, "total": s.word.total},
        "newest": format_time(s.newest.time) if s.newest else None,
        "newest_version": s.newest.version if s.newest else None,
        "next_due": format_time(s.due) if s.due else None,
        "late_seconds": s.late.total_seconds(),
        "complete": s.complete,
        "free_forecast_streak": streak(r.state for r in reversed(s.records)),
        "source_newest": format_time(s.source_newest) if s.source_newest else None,
        "source_seen": format_time(s.source_seen) if s.source_seen else None,
        "disk_free_bytes": s.free,
        "disk_size_bytes": s.size,
    }
