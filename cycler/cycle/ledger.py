"""Writing the ledger: one writer, one transaction per fact, each on disk when the call returns."""

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dacycle.cycler.cycle.history import LEDGER_NAME, History
from dacycle.cycler.cycle.records import Artefact, Counts, CycleRecord, Listing, StationRecord, Statistics, format_time
from dacycle.cycler.cycle.schema import connect_writer, ledger_errors
from dacycle.cycler.cycle.states import ENDS, PUBLISHED, State, Stream, allowed
from dacycle.cycler.products.atomic import write_atomically
from dacycle.cycler.products.catalogue import Entry, enter
from dacycle.errors import StateError

__all__ = ["BACKUP_NAME", "Ledger"]

BACKUP_NAME = "ledger.backup.sqlite"

STATION_HISTORY = timedelta(days=60)
"""A month to look at, and as much again before a cycle of then is run anew."""

LOG = logging.getLogger("dacycle.ledger")
LOG.addHandler(logging.NullHandler())  # a command that sets no logging up shows these lines its own way
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Ledger(History):
    """The record of everything that cycles did. Whoever holds the state directory's lock may write."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self._one_at_a_time = threading.RLock()
        self._epoch: int | None = None

    @classmethod
    def open(cls, state: Path) -> "Ledger":
        """The ledger of a state directory, created where there is none."""
        try:
            state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"state directory {state} cannot be made: {error}; set [paths] state") from error
        path = state / LEDGER_NAME
        return cls(path, connect_writer(path))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._one_at_a_time, ledger_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._require_lead()
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._one_at_a_time:
            return super()._rows(sql, *values)

    def _require_lead(self) -> None:
        if self._epoch is not None and self.query("SELECT epoch FROM lease")[0]["epoch"] != self._epoch:
            raise StateError(f"another dacycle took over {self.path.parent}: this one writes nothing any more")

    def lead(self, holder: str, machine: str) -> None:
        """A new epoch, in which only this writer's transactions count; ``lease.py`` knows when to ask for it."""
        with self._transaction() as db:
            sql = (
                "INSERT INTO lease (id, epoch, holder, machine, beats) VALUES (1, 1, ?1, ?2, 0) ON CONFLICT (id)"
                " DO UPDATE SET epoch = epoch + 1, holder = ?1, machine = ?2 RETURNING epoch"
            )
            (epoch,) = db.execute(sql, (holder, machine)).fetchone()
        self._epoch = epoch

    def write(self, sql: str, *values: Any) -> None:
        """One statement by itself, for writers that have a file of their own, as ``reruns.py``."""
        with self._transaction() as db:
            db.execute(sql, values)

    def add_cycle(self, time: datetime, stream: Stream, now: datetime, state: State = State.PENDING) -> CycleRecord:
        """The valid version of a cycle, newly entered where there is none."""
        with self._transaction() as db:
            found = self.cycle(time, stream)
            return found if found is not None else self._add(db, time, stream, now, state)

    def add_version(self, old: CycleRecord, now: datetime) -> CycleRecord:
        """The version that is to replace a published one, newly entered where there is none; ``old`` stays valid."""
        with self._transaction() as db:
            found = self.cycle(old.time, old.stream)
            if found is not None and found.version > old.version:
                return found
            return self._add(db, old.time, old.stream, now, State.PENDING)

    def _add(self, db: sqlite3.Connection, time: datetime, stream: Stream, now: datetime, state: State) -> CycleRecord:
        key = (format_time(time), str(stream))
        sql = "SELECT coalesce(max(version), 0) + 1 FROM cycles WHERE time = ? AND stream = ?"
        version = db.execute(sql, key).fetchone()[0]
        at = format_time(now)
        sql = "INSERT INTO cycles (time, stream, version, state, created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?)"
        made = db.execute(sql, (*key, version, str(state), at, at)).lastrowid
        assert made is not None
        return self.by_id(made)

    def move(
        self,
        cycle: int,
        state: State,
        now: datetime,
        reason: str = "",
        tell: str = "",
        level: str = "info",
    ) -> CycleRecord:
        """Take a cycle to another state, with why, and a line in the log; StateError for a forbidden step."""
        with self._transaction() as db:
            record = self.by_id(cycle)
            if not allowed(record.state, state):
                raise StateError(f"cycle {record.label} cannot go from {record.state} to {state}")
            at = format_time(now)
            published = at if state in PUBLISHED else None
            sql = (
                "UPDATE cycles SET state = ?, reason = ?, changed_at = ?, published_at = coalesce(?, published_at),"
                " failed_attempts = failed_attempts + ? WHERE id = ?"
            )
            db.execute(sql, (str(state), reason, at, published, int(state == State.FAILED), cycle))
            if state in ENDS and state != record.state:
                self._count(db, record.stream, state)
            if state in PUBLISHED:
                self._supersede(db, record, at)
            if tell:
                self._tell(db, tell, now, level, cycle)
        return self.by_id(cycle)

    def _supersede(self, db: sqlite3.Connection, record: CycleRecord, at: str) -> None:
        """One version is valid: the moment that a new one is published, the old one is not any more."""
        sql = (
            "UPDATE cycles SET state = 'superseded', reason = ?, changed_at = ? WHERE time = ? AND stream = ?"
            " AND id != ? AND state IN ('published', 'published_free_forecast')"
        )
        key = (format_time(record.time), str(record.stream), record.id)
        if db.execute(sql, (f"replaced by version {record.version}", at, *key)).rowcount:
            self._count(db, record.stream, State.SUPERSEDED)

    @staticmethod
    def _count(db: sqlite3.Connection, stream: Stream, outcome: State) -> None:
        sql = "INSERT INTO tally VALUES (?, ?, 1) ON CONFLICT (stream, outcome) DO UPDATE SET n = n + 1"
        db.execute(sql, (str(stream), str(outcome)))

    def expire(self, times: Iterable[datetime], now: datetime, reason: str) -> int:
        """Give up delayed cycles that are not finished, known or not; how many."""
        chosen = list(times)
        at = format_time(now)
        with self._transaction() as db:
            for time in chosen:
                record = self.cycle(time, Stream.DELAYED)
                if record is None:
                    sql = (
                        "INSERT INTO cycles (time, stream, version, state, reason, created_at, changed_at)"
                        " VALUES (?, 'delayed', 1, 'expired', ?, ?, ?)"
                    )
                    db.execute(sql, (format_time(time), reason, at, at))
                else:
                    sql = "UPDATE cycles SET state = 'expired', held = 0, reason = ?, changed_at = ? WHERE id = ?"
                    db.execute(sql, (reason, at, record.id))
            if chosen:
                sql = "INSERT INTO tally VALUES ('delayed', 'expired', ?1) ON CONFLICT DO UPDATE SET n = n + ?1"
                db.execute(sql, (len(chosen),))
                span = f"{chosen[0]:%Y-%m-%dT%H} to {chosen[-1]:%Y-%m-%dT%H}"
                self._tell(db, f"{len(chosen)} cycles, {span}, expired: {reason}", now, "warning", None)
        return len(chosen)

    def begin_attempt(self, cycle: int, settings: str) -> bool:
        """Another try begins; True when what former tries did must go, because they had other settings."""
        with self._transaction() as db:
            changed = self.by_id(cycle).settings not in ("", settings)
            db.execute("UPDATE cycles SET attempts = attempts + 1, settings = ? WHERE id = ?", (settings, cycle))
            if changed:
                db.execute("DELETE FROM artefacts WHERE cycle = ?", (cycle,))
                db.execute("DELETE FROM stages WHERE cycle = ?", (cycle,))
        return changed

    def start_from(self, cycle: int, background: str, base: int | None) -> None:
        """Say what the background is, and whose analysis it came from."""
        with self._transaction() as db:
            db.execute("UPDATE cycles SET background = ?, base = ? WHERE id = ?", (background, base, cycle))

    def hold(self, cycle: int, held: bool) -> None:
        """An operator's not yet, or go on."""
        with self._transaction() as db:
            db.execute("UPDATE cycles SET held = ? WHERE id = ?", (int(held), cycle))

    def forget(self, cycle: int) -> None:
        """A cycle that was only entered, to be held, and never begun: it is entered again when it is due."""
        with self._transaction() as db:
            db.execute("DELETE FROM cycles WHERE id = ? AND state = 'pending' AND attempts = 0", (cycle,))

    def begin_stage(self, cycle: int, stage: str, now: datetime) -> None:
        """A stage runs; what a former try of it made is forgotten."""
        with self._transaction() as db:
            db.execute("DELETE FROM artefacts WHERE cycle = ? AND stage = ? AND name NOT LIKE 'chunk%'", (cycle, stage))
            sql = (
                "INSERT INTO stages (cycle, stage, state, attempt, started_at) VALUES (?, ?, 'running', 1, ?)"
                " ON CONFLICT (cycle, stage)"
                " DO UPDATE SET"
                " state = 'running', attempt = attempt + 1, seconds = NULL, started_at = excluded.started_at"
            )
            db.execute(sql, (cycle, stage, format_time(now)))

    def undo_stage(self, cycle: int, stage: str) -> None:
        """What the stage did stands on something that has changed."""
        with self._transaction() as db:
            db.execute("DELETE FROM artefacts WHERE cycle = ? AND stage = ?", (cycle, stage))
            db.execute("UPDATE stages SET state = 'failed' WHERE cycle = ? AND stage = ?", (cycle, stage))

    def end_stage(self, cycle: int, stage: str, seconds: float, failed: bool = False) -> None:
        """A stage is done, or broke."""
        with self._transaction() as db:
            sql = "UPDATE stages SET state = ?, seconds = ? WHERE cycle = ? AND stage = ?"
            db.execute(sql, ("failed" if failed else "done", round(seconds, 3), cycle, stage))

    def add_artefact(self, cycle: int, artefact: Artefact) -> None:
        """A file is in its place."""
        with self._transaction() as db:
            sql = "INSERT OR REPLACE INTO artefacts (cycle, stage, name, path, sha256, bytes) VALUES (?, ?, ?, ?, ?, ?)"
            a = artefact
            db.execute(sql, (cycle, a.stage, a.name, a.path, a.sha256, a.bytes))

    def forget_artefacts(self, cycle: int, names: Iterable[str]) -> None:
        """Files are about to go."""
        with self._transaction() as db:
            db.executemany("DELETE FROM artefacts WHERE cycle = ? AND name = ?", [(cycle, name) for name in names])

    def set_inputs(self, cycle: int, digest: str) -> None:
        """Which soundings the cycle sees."""
        with self._transaction() as db:
            db.execute("UPDATE cycles SET inputs = ? WHERE id = ?", (digest, cycle))

    def set_counts(self, cycle: int, counts: Counts) -> None:
        """What came and what became of it."""
        with self._transaction() as db:
            sql = "UPDATE cycles SET soundings_received = ?, soundings_used = ?, soundings_withheld = ? WHERE id = ?"
            db.execute(sql, (counts.received, counts.used, counts.withheld, cycle))
            db.execute("DELETE FROM value_counts WHERE cycle = ?", (cycle,))
            rows = [(cycle, c, status, n) for c, by_status in counts.values.items() for status, n in by_status.items()]
            db.executemany("INSERT INTO value_counts (cycle, channel, status, n) VALUES (?, ?, ?, ?)", rows)

    def set_statistics(self, cycle: int, statistics: Statistics) -> None:
        """What the observations say of background and analysis."""
        with self._transaction() as db:
            for table in ("departures", "spread_skill"):
                db.execute(f"DELETE FROM {table} WHERE cycle = ?", (cycle,))
            rows = [
                (cycle, kind, name, d.n, d.bias, d.rms)
                for kind, by_channel in (("omb", statistics.omb), ("oma", statistics.oma))
                for name, d in by_channel.items()
            ]
            db.executemany(
                "INSERT INTO departures (cycle, kind, channel, n, bias, rms) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            ratios = [(cycle, name, ratio) for name, ratio in statistics.spread_skill.items()]
            db.executemany("INSERT INTO spread_skill (cycle, channel, ratio) VALUES (?, ?, ?)", ratios)

    def set_stations(self, cycle: int, records: Iterable[StationRecord]) -> None:
        """What each station gave; what is too old to be looked at goes."""
        chosen = list(records)
        with self._transaction() as db:
            old = format_time(self.by_id(cycle).time - STATION_HISTORY)
            for table in ("station_history", "station_departures"):
                sql = f"DELETE FROM {table} WHERE cycle = ? OR cycle IN (SELECT id FROM cycles WHERE time < ?)"
                db.execute(sql, (cycle, old))
            rows = [(cycle, r.station, r.lat, r.lon, r.received, r.used, r.withheld, r.rejected) for r in chosen]
            db.executemany("INSERT INTO station_history VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            departures = [
                (cycle, r.station, kind, variable, d.n, d.bias, d.rms**2)
                for r in chosen
                for kind, by_variable in (("omb", r.omb), ("oma", r.oma))
                for variable, d in by_variable.items()
            ]
            db.executemany("INSERT INTO station_departures VALUES (?, ?, ?, ?, ?, ?, ?)", departures)

    def enter_products(self, time: datetime, stream: Stream, entries: Iterable[Entry]) -> None:
        """Make the catalogue's rows of a cycle what lies on disk."""
        with self._transaction() as db:
            enter(db, time, stream.value, entries)

    def retire(self, before: datetime) -> None:
        """Products and stage files of all earlier analysis times are about to go."""
        at = format_time(before)
        with self._transaction() as db:
            db.execute("UPDATE products SET status = 'removed' WHERE time < ?", (at,))
            db.execute("DELETE FROM artefacts WHERE cycle IN (SELECT id FROM cycles WHERE time < ?)", (at,))

    def set_ranks(self, cycle: int, counts: Mapping[str, Sequence[int]]) -> None:
        """Rank histograms by channel."""
        with self._transaction() as db:
            db.execute("DELETE FROM rank_histograms WHERE cycle = ?", (cycle,))
            rows = [(cycle, name, json.dumps(list(told))) for name, told in counts.items()]
            db.executemany("INSERT INTO rank_histograms (cycle, channel, counts) VALUES (?, ?, ?)", rows)

    def back_up(self) -> Path:
        """A copy of the whole ledger beside it, replacing the last one; StateError where it is damaged or has no room.

        A damaged ledger never replaces a good copy.
        """
        path = self.path.with_name(BACKUP_NAME)
        with self._one_at_a_time, ledger_errors(self.path):
            self.check()
            write_atomically(path, self._copy_to)
        return path

    def check(self) -> None:
        """StateError where the file is damaged."""
        with self._one_at_a_time, ledger_errors(self.path):
            found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(" ".join(str(found).split()))

    def _copy_to(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as copy:
            self._connection.backup(copy)

    def set_blacklist(self, time: datetime, listings: Iterable[Listing]) -> None:
        """The listings that begin at an analysis time, in the place of any that it had decided on before."""
        with self._transaction() as db:
            db.execute("DELETE FROM blacklist WHERE since = ?", (format_time(time),))
            rows = [(x.station, x.variable, format_time(x.since), format_time(x.until), x.reason) for x in listings]
            db.executemany("INSERT INTO blacklist VALUES (?, ?, ?, ?, ?)", rows)

    def set_adaptation(self, cycle: int, state: str, values: Iterable[tuple[str, str, float]]) -> None:
        """What a cycle learnt of errors and climate, and its readable part as (kind, key, value)."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO adaptations VALUES (?, ?)", (cycle, state))
            db.execute("DELETE FROM covariances WHERE cycle = ?", (cycle,))
            db.executemany("INSERT INTO covariances VALUES (?, ?, ?, ?)", [(cycle, *row) for row in values])

    def set_note(self, key: str, value: str) -> None:
        """Remember a value."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO notes (key, value) VALUES (?, ?)", (key, value))

    def tell(
        self, text: str, now: datetime, level: str = "info", cycle: int | None = None, logged: bool = False
    ) -> None:
        """A line in the log that an operator reads; ``logged``: the process's own log has it already."""
        with self._transaction() as db:
            self._tell(db, text, now, level, cycle, logged)

    @staticmethod
    def _tell(
        db: sqlite3.Connection, text: str, now: datetime, level: str, cycle: int | None, logged: bool = False
    ) -> None:
        sql = "INSERT INTO events (at, level, cycle, text) VALUES (?, ?, ?, ?)"
        db.execute(sql, (format_time(now), level, cycle, text))
        if not logged:
            LOG.log(LEVELS[level], "told", extra={"text": text})
