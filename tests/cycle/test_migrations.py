"""A ledger that the first released program wrote: brought to the present, with a copy that brings it back."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dacycle.cycler.cycle import migrations, schema
from dacycle.cycler.cycle.engine import run_cycle
from dacycle.cycler.cycle.history import LEDGER_NAME, History
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.migrations import STEPS, backup_path
from dacycle.cycler.cycle.report import status_json
from dacycle.cycler.cycle.schema import VERSION
from dacycle.cycler.cycle.states import State, Stream
from dacycle.errors import StateError
from tests.cycle.small_world import config, hours, soundings

DUMP = Path(__file__).with_name("ledger_v1.sql")
"""Made by version 0.1.0: two delayed cycles of the small world, an early one, and one that is pending."""

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state directory with the old ledger."""
    state = tmp_path / "state"
    state.mkdir()
    with sqlite3.connect(state / LEDGER_NAME) as db:
        db.executescript(DUMP.read_text())
    db.close()
    return state


def version(path: Path) -> int:
    with sqlite3.connect(path) as db:
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
    db.close()
    return found


def rows(path: Path, tables: set[str] | None = None) -> Rows:
    """Every row of every table, and the tables' own text; SQLite's integrity check has to pass."""
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        found = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"))
        told: Rows = {
            name: [(sql,), *sorted(db.execute(f"SELECT * FROM {name}"), key=str)]
            for name, sql in found.items()
            if tables is None or name in tables
        }
    db.close()
    return told


def test_ledger_of_the_first_release_is_migrated_and_loses_nothing(old: Path) -> None:
    path = old / LEDGER_NAME
    before = rows(path)
    assert version(path) == 1
    assert len(before["cycles"]) == 1 + 4
    assert VERSION > 1
    with pytest.raises(StateError, match=f"has version 1: any command that writes brings it to {VERSION}"):
        History.read(old).__enter__()
    with Ledger.open(old) as ledger:
        records = ledger.cycles()
    assert [(r.time, r.stream, r.state) for r in records] == [
        (hours(0), Stream.DELAYED, State.PUBLISHED),
        (hours(12), Stream.DELAYED, State.PUBLISHED),
        (hours(24), Stream.DELAYED, State.PENDING),
        (hours(24), Stream.EARLY, State.PUBLISHED_FREE_FORECAST),
    ]
    assert version(path) == VERSION
    assert rows(path, set(before)) == before


def test_migrated_ledger_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    for state in (old, new):
        with Ledger.open(state):
            pass

    def tables(state: Path) -> set[tuple[Any, ...]]:
        with sqlite3.connect(state / LEDGER_NAME) as db:
            found = set(db.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
        db.close()
        return found

    assert tables(old) == tables(new)


def test_backup_is_the_old_ledger_and_can_be_put_back(old: Path) -> None:
    path = old / LEDGER_NAME
    before = rows(path)
    with Ledger.open(old) as ledger:
        ledger.set_note("after", "the upgrade")
    backup = backup_path(path, 1)
    assert (version(backup), rows(backup)) == (1, before)
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        (old / name).unlink(missing_ok=True)
    backup.rename(path)
    assert (version(path), rows(path)) == (1, before)
    with Ledger.open(old) as ledger:
        assert ledger.note("after") is None
        assert len(ledger.cycles()) == 4


def test_cycle_runs_on_a_migrated_ledger(old: Path, tmp_path: Path, tiny_bundle_path: Path) -> None:
    source = soundings(tmp_path / "archive", [hours(48)])
    chosen = config(tmp_path, source, tiny_bundle_path)
    assert chosen.paths.state == old
    assert run_cycle(chosen, hours(48), hours(100)).state == State.PUBLISHED
    with History.read(old) as history:
        told = json.dumps(status_json(history, chosen, hours(100)), allow_nan=False)
    assert told.count('"published"') == 3


def test_failing_step_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old / LEDGER_NAME
    before = rows(path)
    broken = (*STEPS, "CREATE TABLE half (a); CREATE TABLE half (a);")
    monkeypatch.setattr(migrations, "STEPS", broken)
    monkeypatch.setattr(schema, "STEPS", broken)
    monkeypatch.setattr(schema, "VERSION", 1 + len(broken))
    with pytest.raises(StateError, match="half already exists"):
        Ledger.open(old).__enter__()
    assert (version(path), rows(path)) == (1, before)
    monkeypatch.undo()
    with Ledger.open(old) as ledger:
        assert len(ledger.cycles()) == 4
    assert version(path) == VERSION


def test_without_room_for_the_backup_nothing_is_upgraded(old: Path) -> None:
    path = old / LEDGER_NAME
    backup_path(path, 1).mkdir()  # as good as a full disk: the copy cannot be written
    before = rows(path)
    with pytest.raises(StateError, match=r"cannot be backed up before its upgrade: .*; make room"):
        Ledger.open(old).__enter__()
    assert (version(path), rows(path)) == (1, before)


def test_newer_ledger_is_left_alone(old: Path) -> None:
    path = old / LEDGER_NAME
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    before = rows(path)
    for open_it in (Ledger.open, History.read):
        with pytest.raises(StateError, match=f"has version {VERSION + 1}; this program knows {VERSION}: install"):
            open_it(old).__enter__()
    assert rows(path) == before
