"""Running published cycles again: for late soundings, for an operator, and because what they grew on was.

The ledger says what is owed: a delayed cycle that was marked, and every published one whose background came from a
version that has been superseded. Oldest first, that is one pass over a cycle and all that grew on it, and a process
that dies in the middle finds the rest still owed. The old version stays valid until the new one is published.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dacycle.cycler.cycle.arrivals import Late, arrivals, from_json, late
from dacycle.cycler.cycle.engine import Engine
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.ingest import Gathered
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.records import CycleRecord, format_time
from dacycle.cycler.cycle.states import PUBLISHED, Stage, State, Stream
from dacycle.cycler.cycle.task import CHECKED, FORECAST, INPUTS, OBSERVATIONS
from dacycle.cycler.cycle.workspace import Kept
from dacycle.obs.batch import Quality

__all__ = ["Rerun", "count_late", "give_up", "mark", "owed_rerun", "rerun", "spare"]

GREW = "what it started from was run again"


@dataclass(frozen=True)
class Rerun:
    """``old``: the version to replace, or an unpublished one to try again; ``stage``: where to begin."""

    old: CycleRecord
    stage: Stage
    reason: str


def mark(ledger: Ledger, record: CycleRecord, stage: Stage, reason: str) -> None:
    """Let a delayed cycle be owed again."""
    sql = (
        "INSERT INTO reruns (cycle, stage, reason, state) VALUES (?, ?, ?, 'owed') ON CONFLICT (cycle)"
        " DO UPDATE SET stage = excluded.stage, reason = excluded.reason, state = 'owed'"
    )
    ledger.write(sql, record.id, str(stage), reason)


def spare(ledger: Ledger, record: CycleRecord, reason: str) -> None:
    """Nothing but an operator has that version run again."""
    sql = "INSERT OR REPLACE INTO reruns (cycle, stage, reason, state) VALUES (?, 'ingest', ?, 'given_up')"
    ledger.write(sql, record.id, reason)


def owed_rerun(history: History) -> Rerun | None:
    """The oldest cycle that is to be run again; a held one, and those after it, wait."""
    sql = (
        "SELECT c.id, r.stage, r.reason FROM cycles c LEFT JOIN reruns r ON r.cycle = c.id"
        " LEFT JOIN cycles b ON b.id = c.base WHERE c.stream = 'delayed' AND c.state != 'superseded' AND"
        " (r.state = 'owed' OR (r.cycle IS NULL AND b.state = 'superseded' AND c.published_at IS NOT NULL))"
        " ORDER BY c.time, c.version LIMIT 1"
    )
    for row in history.query(sql):
        old = history.by_id(row["id"])
        if not old.held:
            return Rerun(old, Stage(row["stage"] or Stage.INGEST), row["reason"] or GREW)
    return None


def rerun(engine: Engine, owed: Rerun, now: datetime) -> CycleRecord:
    """Do it; what goes wrong is in the ledger, with the new version, and raised."""
    ledger, old = engine.ledger, owed.old
    base = engine.base_of(old.time, now)
    if old.state not in PUBLISHED:
        return _again(engine, owed, base, now)
    new = ledger.add_version(old, now)
    if new.attempts == 0:
        ledger.tell(f"{new.label} replaces version {old.version}: {owed.reason}", now, cycle=new.id)
        _inherit(engine, old, new, owed.stage, same_base=base is not None and base.id == old.base, now=now)
    kept = Kept(engine.state, ledger, old)

    def gathering() -> Gathered:
        found = engine.gather(old.time)
        # An archive that rolled over, or is being rebuilt, takes nothing away from a cycle.
        fewer = found.received < old.soundings_received and kept.has(INPUTS) and kept.has(OBSERVATIONS)
        return kept_soundings(kept) if fewer else found

    record = engine.perform(new, base, gathering, now)
    engine.discard(old)
    return record


def _again(engine: Engine, owed: Rerun, base: CycleRecord | None, now: datetime) -> CycleRecord:
    """Another try of a cycle that was never published, from a stage on."""
    record, ledger = owed.old, engine.ledger
    after = list(Stage)[list(Stage).index(owed.stage) :]
    for stage in ledger.stages(record.id).keys() & set(after):
        ledger.undo_stage(record.id, stage)
    ledger.write("DELETE FROM reruns WHERE cycle = ?", record.id)
    return engine.perform(record, base, lambda: engine.gather(record.time), now)


def give_up(engine: Engine, owed: Rerun, new: CycleRecord, now: datetime) -> None:
    """The old version stays the valid one; what was not published before is left to the rules for owed cycles."""
    why = f"given up after {new.failed_attempts} tries: {new.reason}"
    if owed.old.state not in PUBLISHED:
        engine.ledger.write("DELETE FROM reruns WHERE cycle = ?", owed.old.id)
        return
    spare(engine.ledger, owed.old, why)
    text = f"{new.label} {why}; version {owed.old.version} stays"
    engine.ledger.move(new.id, State.SUPERSEDED, now, why, tell=text, level="error")
    engine.discard(new)


def kept_soundings(kept: Kept) -> Gathered:
    """What the cycle was given when it ran."""
    noted = kept.json(INPUTS)
    arrived = from_json(noted["soundings"])
    return Gathered(kept.batch(OBSERVATIONS), arrived, noted["files"], tuple(noted["problems"]))


def _inherit(engine: Engine, old: CycleRecord, new: CycleRecord, stage: Stage, same_base: bool, now: datetime) -> None:
    """Take over what the stages before ``stage`` made, so that they need not be done again."""
    kept, work, ledger = Kept(engine.state, engine.ledger, old), engine.workspace(new), engine.ledger
    taken: list[tuple[Stage, list[str]]] = []
    if stage in (Stage.FORECAST, Stage.ASSIMILATE):
        taken.append((Stage.INGEST, [INPUTS, OBSERVATIONS]))
    if stage == Stage.ASSIMILATE and same_base:
        taken.append((Stage.FORECAST, [FORECAST]))
    for done, names in taken:
        if not all(map(kept.has, names)):
            return
        ledger.begin_stage(new.id, done, now)
        for name in names:
            content = (kept.folder / name).read_bytes()
            work.keep(done, name, lambda path, content=content: path.write_bytes(content))  # type: ignore[misc]
        if done == Stage.INGEST:
            ledger.set_inputs(new.id, old.inputs)
            ledger.set_counts(new.id, ledger.counts(old.id))
        ledger.end_stage(new.id, done, 0.0)


def count_late(engine: Engine, now: datetime) -> None:
    """Compare what published cycles saw with what the source has now; note it, and mark those that missed too much."""
    ledger, limit = engine.ledger, engine.config.cycle.rerun_min_fraction
    for record in _watched(engine, now):
        kept = Kept(engine.state, ledger, record)
        if not (kept.has(INPUTS) and kept.has(CHECKED)):
            continue
        found = _late(engine, kept)
        known = ledger.query("SELECT new, revised FROM late WHERE cycle = ?", record.id)
        if (found.new, found.revised) != (tuple(known[0]) if known else (0, 0)):
            sql = "INSERT OR REPLACE INTO late (cycle, new, revised, seen_at) VALUES (?, ?, ?, ?)"
            ledger.write(sql, record.id, found.new, found.revised, format_time(now))
        changed, usual = found.new + found.revised, record.soundings_used or _usual(ledger, record)
        if changed and changed >= limit * usual:
            told = f"{found.new} late and {found.revised} revised soundings, it used {record.soundings_used}"
            mark(ledger, record, Stage.INGEST, told)


def _watched(engine: Engine, now: datetime) -> Iterator[CycleRecord]:
    """Published delayed cycles within the window, both since they were published and behind the newest one."""
    newest = engine.ledger.newest_published(Stream.DELAYED)
    if newest is None:
        return
    window = timedelta(days=engine.config.cycle.rerun_window_days)
    settled = {row["cycle"] for row in engine.ledger.query("SELECT cycle FROM reruns")}
    for record in engine.ledger.cycles(Stream.DELAYED, since=newest.time - window):
        published = record.published_at if record.state in PUBLISHED and record.id not in settled else None
        if published is not None and now - published <= window:
            yield record


def _late(engine: Engine, kept: Kept) -> Late:
    """Only revisions of soundings that were used count; nothing is asked of the network."""
    before = {sounding.key: sounding.digest for sounding in from_json(kept.json(INPUTS).get("soundings", []))}
    present = engine.source.fetch(kept.record.time)
    levels = dict(zip(present.reports.key.tolist(), present.reports.count.tolist(), strict=True))
    now = {s.key: s.digest for s in arrivals(present) if levels[s.key] > 0}
    batch = kept.batch(CHECKED)
    used = set(batch.report[batch.quality == Quality.ASSIMILATED].tolist())
    return late(before, {key: digest if key in used else before.get(key, digest) for key, digest in now.items()})


def _usual(history: History, record: CycleRecord) -> int:
    """Soundings used by the last cycle before one that had none."""
    sql = "SELECT soundings_used FROM cycles WHERE stream = 'delayed' AND state = 'published' AND time < ?"
    rows = history.query(f"{sql} ORDER BY time DESC LIMIT 1", format_time(record.time))
    return int(rows[0]["soundings_used"]) if rows else 1
