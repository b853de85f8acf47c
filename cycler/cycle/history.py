"""Reading the ledger: what ran, what came of it, what is there to go on from."""

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from dacycle.cycler.cycle.records import (
    Artefact,
    Counts,
    CycleRecord,
    Departure,
    Event,
    Listing,
    StageRecord,
    StationRecord,
    Statistics,
    format_time,
    parse_time,
)
from dacycle.cycler.cycle.schema import connect_reader, ledger_errors
from dacycle.cycler.cycle.states import FINISHED, PUBLISHED, State, Stream
from dacycle.cycler.products.catalogue import Entry, Status, find

__all__ = ["LEDGER_NAME", "History"]

LEDGER_NAME = "ledger.sqlite"


class History:
    """Queries over a ledger. Opened by itself it is read-only; a ``Ledger`` is one that also writes."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self._connection = path, connection

    @classmethod
    def read(cls, state: Path) -> "History":
        """The ledger of a state directory, for reading; StateError where there is none."""
        path = state / LEDGER_NAME
        return cls(path, connect_reader(path))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with ledger_errors(self.path):
            return self._connection.execute(sql, values).fetchall()

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a SELECT, for readers that have a file of their own, as ``stations.py``."""
        return self._rows(sql, *values)

    def cycles(
        self,
        stream: Stream | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        newest: int | None = None,
        superseded: bool = False,
    ) -> list[CycleRecord]:
        """Cycles, oldest first, delayed before early: all, or those that the arguments leave.

        ``since`` and ``until`` are inclusive; ``newest`` keeps so many of the last; superseded versions are left out
        unless asked for.
        """
        clauses, values = ["1"], list[Any]()
        for clause, value in (
            ("stream = ?", stream),
            ("time >= ?", since and format_time(since)),
            ("time <= ?", until and format_time(until)),
        ):
            if value is not None:
                clauses.append(clause)
                values.append(str(value))
        if not superseded:
            clauses.append("state != 'superseded'")
        limit = "" if newest is None else f"LIMIT {int(newest)}"
        where = " AND ".join(clauses)
        rows = self._rows(
            f"SELECT * FROM cycles WHERE {where} ORDER BY time DESC, stream DESC, version DESC {limit}", *values
        )
        return [_cycle(row) for row in reversed(rows)]

    def valid(self, time: datetime, stream: Stream) -> CycleRecord | None:
        """The published version of a cycle, which others may start from, also while a newer one is being made."""
        sql = f"SELECT * FROM cycles WHERE time = ? AND stream = ? AND state IN ({', '.join('?' * len(PUBLISHED))})"
        return next(map(_cycle, self._rows(sql, format_time(time), stream, *sorted(PUBLISHED))), None)

    def cycle(self, time: datetime, stream: Stream) -> CycleRecord | None:
        """The newest version of a cycle that was not superseded."""
        sql = (
            "SELECT * FROM cycles WHERE time = ? AND stream = ? AND state != 'superseded' ORDER BY version DESC LIMIT 1"
        )
        return next(map(_cycle, self._rows(sql, format_time(time), stream)), None)

    def ended(self, stream: Stream, since: datetime, until: datetime) -> list[datetime]:
        """Times whose cycle has come to an end, ascending."""
        marks = ", ".join("?" * len(FINISHED))
        sql = (
            f"SELECT DISTINCT time FROM cycles WHERE stream = ? AND state IN ({marks}) AND state != 'superseded'"
            " AND time BETWEEN ? AND ? ORDER BY time"
        )
        rows = self._rows(sql, stream, *sorted(FINISHED), format_time(since), format_time(until))
        return [datetime.fromisoformat(row["time"]) for row in rows]

    def published(self, stream: Stream, since: datetime, until: datetime) -> list[datetime]:
        """Times with a published cycle, both ends included, ascending."""
        marks = ", ".join("?" * len(PUBLISHED))
        sql = f"SELECT time FROM cycles WHERE stream = ? AND state IN ({marks}) AND time BETWEEN ? AND ? ORDER BY time"
        rows = self._rows(sql, stream, *sorted(PUBLISHED), format_time(since), format_time(until))
        return [parse_time(row["time"]) for row in rows]

    def by_id(self, cycle: int) -> CycleRecord:
        """The cycle of that number."""
        return _cycle(self._rows("SELECT * FROM cycles WHERE id = ?", cycle)[0])

    def in_states(self, states: Iterable[State]) -> list[CycleRecord]:
        """Cycles in any of these states, oldest first."""
        wanted = sorted(states)
        marks = ", ".join("?" * len(wanted))
        sql = f"SELECT * FROM cycles WHERE state IN ({marks}) ORDER BY time, stream, version"
        return [_cycle(row) for row in self._rows(sql, *wanted)]

    def number(self) -> int:
        """How many cycles there are, without superseded versions."""
        return int(self._rows("SELECT count(*) AS n FROM cycles WHERE state != 'superseded'")[0]["n"])

    def left_open(self) -> list[CycleRecord]:
        """Delayed cycles that have not ended, and ended ones that are held, oldest first."""
        marks = ", ".join("?" * len(FINISHED))
        sql = (
            f"SELECT * FROM cycles WHERE stream = 'delayed' AND (held OR state NOT IN ({marks}))"
            " AND state != 'superseded' ORDER BY time, version"
        )
        return [_cycle(row) for row in self._rows(sql, *sorted(FINISHED))]

    def to_rerun(self) -> list[CycleRecord]:
        """Cycles that were marked to be run again, oldest first."""
        sql = (
            "SELECT c.* FROM cycles c JOIN reruns r ON r.cycle = c.id WHERE r.state = 'owed' AND"
            " c.state != 'superseded' ORDER BY c.time, c.version"
        )
        return [_cycle(row) for row in self._rows(sql)]

    def endings(self, stream: Stream, since: datetime, until: datetime) -> dict[State, int]:
        """How many cycles of a period, both ends included, came to which end."""
        marks = ", ".join("?" * len(FINISHED))
        sql = (
            f"SELECT state, count(*) AS n FROM cycles WHERE stream = ? AND state IN ({marks}) AND state != 'superseded'"
            " AND time BETWEEN ? AND ? GROUP BY state"
        )
        rows = self._rows(sql, stream, *sorted(FINISHED), format_time(since), format_time(until))
        return {State(row["state"]): row["n"] for row in rows}

    def replaced(self) -> list[CycleRecord]:
        """Superseded versions whose files are still entered: a process died before it let go of them."""
        sql = (
            "SELECT * FROM cycles WHERE state = 'superseded' AND id IN (SELECT cycle FROM artefacts)"
            " ORDER BY time, stream, version"
        )
        return [_cycle(row) for row in self._rows(sql)]

    def newest_published(self, stream: Stream, state: State | None = None) -> CycleRecord | None:
        """The published cycle with the latest analysis time."""
        states = sorted(PUBLISHED) if state is None else [state]
        marks = ", ".join("?" * len(states))
        sql = f"SELECT * FROM cycles WHERE stream = ? AND state IN ({marks}) ORDER BY time DESC LIMIT 1"
        return next(map(_cycle, self._rows(sql, stream, *states)), None)

    def _grouped(self, table: str, cycles: Iterable[int]) -> dict[int, list[sqlite3.Row]]:
        """The rows of a table by cycle, in their order, with one query however many cycles are asked for."""
        wanted = list(cycles)
        groups: dict[int, list[sqlite3.Row]] = {cycle: [] for cycle in wanted}
        sql = f"SELECT * FROM {table} WHERE cycle IN (SELECT value FROM json_each(?)) ORDER BY rowid"
        for row in self._rows(sql, json.dumps(wanted)):
            groups[row["cycle"]].append(row)
        return groups

    def stages(self, cycle: int) -> dict[str, StageRecord]:
        """Stages that were begun, in their order."""
        return self.all_stages([cycle])[cycle]

    def all_stages(self, cycles: Iterable[int]) -> dict[int, dict[str, StageRecord]]:
        """Stages of several cycles."""
        return {
            cycle: {
                row["stage"]: StageRecord(
                    row["stage"], row["state"], row["attempt"], parse_time(row["started_at"]), row["seconds"]
                )
                for row in rows
            }
            for cycle, rows in self._grouped("stages", cycles).items()
        }

    def artefacts(self, cycle: int, stage: str | None = None) -> dict[str, Artefact]:
        """Files that the cycle made, by name."""
        sql = "SELECT * FROM artefacts WHERE cycle = ?1 AND (?2 IS NULL OR stage = ?2) ORDER BY name"
        return {
            row["name"]: Artefact(row["stage"], row["name"], row["path"], row["sha256"], row["bytes"])
            for row in self._rows(sql, cycle, stage)
        }

    def counts(self, cycle: int) -> Counts:
        """Soundings and values that came, and what became of them."""
        return self.all_counts([self.by_id(cycle)])[cycle]

    def all_counts(self, records: Iterable[CycleRecord]) -> dict[int, Counts]:
        """Counts of several cycles."""
        known = {record.id: record for record in records}
        counts: dict[int, Counts] = {}
        for cycle, rows in self._grouped("value_counts", known).items():
            values: dict[str, dict[str, int]] = {}
            for row in rows:
                values.setdefault(row["channel"], {})[row["status"]] = row["n"]
            record = known[cycle]
            counts[cycle] = Counts(record.soundings_received, record.soundings_used, record.soundings_withheld, values)
        return counts

    def statistics(self, cycle: int) -> Statistics:
        """Departures and spread against skill, by channel."""
        return self.all_statistics([cycle])[cycle]

    def all_statistics(self, cycles: Iterable[int]) -> dict[int, Statistics]:
        """Statistics of several cycles."""
        wanted = list(cycles)
        ratios = self._grouped("spread_skill", wanted)
        statistics: dict[int, Statistics] = {}
        for cycle, rows in self._grouped("departures", wanted).items():
            tables: dict[str, dict[str, Departure]] = {"omb": {}, "oma": {}}
            for row in rows:
                tables[row["kind"]][row["channel"]] = Departure(row["n"], _number(row["bias"]), _number(row["rms"]))
            by_channel = {row["channel"]: _number(row["ratio"]) for row in ratios[cycle]}
            statistics[cycle] = Statistics(tables["omb"], tables["oma"], by_channel)
        return statistics

    def station_records(self, station: str, since: datetime, until: datetime) -> dict[datetime, StationRecord]:
        """What a station gave to the delayed cycles of a period, both ends included, by analysis time."""
        joined = (
            "JOIN cycles c ON c.id = s.cycle WHERE s.station = ? AND c.stream = 'delayed' AND c.state != 'superseded'"
            " AND c.time BETWEEN ? AND ?"
        )
        span = station, format_time(since), format_time(until)
        tables: dict[tuple[int, str], dict[str, Departure]] = {}
        for row in self._rows(f"SELECT s.* FROM station_departures s {joined}", *span):
            departure = Departure(row["n"], row["mean"], row["square"] ** 0.5)
            tables.setdefault((row["cycle"], row["kind"]), {})[row["variable"]] = departure
        return {
            parse_time(row["time"]): StationRecord(
                station=station,
                lat=row["lat"],
                lon=row["lon"],
                received=row["received"],
                used=row["used"],
                withheld=row["withheld"],
                rejected=row["rejected"],
                omb=tables.get((row["cycle"], "omb"), {}),
                oma=tables.get((row["cycle"], "oma"), {}),
            )
            for row in self._rows(f"SELECT c.time, s.* FROM station_history s {joined}", *span)
        }

    def products(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        stream: Stream | None = None,
        statuses: Iterable[Status] = ("valid",),
    ) -> list[Entry]:
        """The catalogue's entries by ascending time; both ends are inclusive."""
        with ledger_errors(self.path):
            return find(self._connection, since, until, stream, statuses)

    def uncatalogued(self) -> list[tuple[datetime, Stream]]:
        """Published cycles that the catalogue does not know: those from before there was one."""
        marks = ", ".join("?" * len(PUBLISHED))
        sql = (
            f"SELECT time, stream FROM cycles WHERE state IN ({marks}) EXCEPT SELECT time, stream FROM products"
            " ORDER BY time, stream"
        )
        return [(parse_time(row["time"]), Stream(row["stream"])) for row in self._rows(sql, *sorted(PUBLISHED))]

    def blacklist(self, time: datetime) -> list[Listing]:
        """The listings that an analysis of that time heeds."""
        sql = "SELECT * FROM blacklist WHERE since <= ?1 AND until > ?1 ORDER BY station, variable, since"
        return [
            Listing(row["station"], row["variable"], parse_time(row["since"]), parse_time(row["until"]), row["reason"])
            for row in self._rows(sql, format_time(time))
        ]

    def adaptation(self, cycle: int) -> str | None:
        """What that cycle knew of errors and climate, as ``Adaptation.to_json`` told it."""
        rows = self._rows("SELECT state FROM adaptations WHERE cycle = ?", cycle)
        return str(rows[0]["state"]) if rows else None

    def all_covariances(self, cycles: Iterable[int]) -> dict[int, dict[str, dict[str, float]]]:
        """Of several cycles: kind (observation, forecast, climate, bias, desroziers) -> key -> value."""
        told: dict[int, dict[str, dict[str, float]]] = {}
        for cycle, rows in self._grouped("covariances", cycles).items():
            told[cycle] = {}
            for row in rows:
                told[cycle].setdefault(row["kind"], {})[row["key"]] = row["value"]
        return told

    def covariances(self, newest: int = 60) -> list[tuple[CycleRecord, dict[str, dict[str, float]]]]:
        """Delayed cycles that adapted, oldest first, with what they came to."""
        records = self.cycles(Stream.DELAYED, newest=newest)
        told = self.all_covariances(record.id for record in records)
        return [(record, told[record.id]) for record in records if told[record.id]]

    def outcomes(self) -> dict[tuple[str, str], int]:
        """How often cycles came to each end, by (stream, state); never falls."""
        return {(row["stream"], row["outcome"]): row["n"] for row in self._rows("SELECT * FROM tally")}

    def events(self, newest: int = 100) -> list[Event]:
        """The last lines of the log, newest first."""
        rows = self._rows("SELECT * FROM events ORDER BY id DESC LIMIT ?", newest)
        return [Event(parse_time(row["at"]), row["level"], row["cycle"], row["text"]) for row in rows]

    def last_event(self, beginning: str) -> Event | None:
        """The last line of the log that begins like that."""
        sql = "SELECT * FROM events WHERE substr(text, 1, length(?1)) = ?1 ORDER BY id DESC LIMIT 1"
        rows = self._rows(sql, beginning)
        return next((Event(parse_time(row["at"]), row["level"], row["cycle"], row["text"]) for row in rows), None)

    def note(self, key: str) -> str | None:
        """A remembered value, as the source's newest time."""
        return next((row["value"] for row in self._rows("SELECT value FROM notes WHERE key = ?", key)), None)

    def time_note(self, key: str) -> datetime | None:
        """A remembered time."""
        text = self.note(key)
        return parse_time(text) if text else None


def _number(value: float | None) -> float:
    """SQLite keeps NaN as NULL."""
    return float("nan") if value is None else value


def _cycle(row: sqlite3.Row) -> CycleRecord:
    return CycleRecord(
        id=row["id"],
        time=parse_time(row["time"]),
        stream=Stream(row["stream"]),
        version=row["version"],
        state=State(row["state"]),
        background=row["background"],
        base=row["base"],
        reason=row["reason"],
        held=bool(row["held"]),
        inputs=row["inputs"],
        settings=row["settings"],
        soundings_received=row["soundings_received"],
        soundings_used=row["soundings_used"],
        soundings_withheld=row["soundings_withheld"],
        attempts=row["attempts"],
        failed_attempts=row["failed_attempts"],
        created_at=parse_time(row["created_at"]),
        changed_at=parse_time(row["changed_at"]),
        published_at=parse_time(row["published_at"]) if row["published_at"] else None,
    )
