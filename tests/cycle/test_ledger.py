"""The ledger: durable, one writer, readers that cannot disturb it, and clear words when something is wrong."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dacycle.cycler.cycle.history import LEDGER_NAME, History
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.lock import exclusive
from dacycle.cycler.cycle.records import Artefact, Counts, Departure, Statistics, format_time, parse_time
from dacycle.cycler.cycle.schema import VERSION
from dacycle.cycler.cycle.states import TRANSITIONS, Stage, State, Stream, allowed
from dacycle.errors import StateError

TIME = datetime(2021, 3, 1, tzinfo=UTC)
NOW = datetime(2021, 3, 4, 6, 30, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path) as opened:
        yield opened


def test_every_state_can_be_reached_and_superseded_is_the_end() -> None:
    reached, grown = {State.PENDING}, True
    while grown:
        more = reached | {new for old in reached for new in TRANSITIONS[old]}
        grown, reached = more != reached, more
    assert reached == set(State)
    assert set(TRANSITIONS) == set(State)
    assert not TRANSITIONS[State.SUPERSEDED]


def test_published_cycle_can_only_be_superseded(ledger: Ledger) -> None:
    assert TRANSITIONS[State.PUBLISHED] == {State.SUPERSEDED}
    assert not allowed(State.PUBLISHED, State.INGESTING)
    record = ledger.add_cycle(TIME, Stream.DELAYED, NOW)
    with pytest.raises(StateError, match="2021-03-01T00 delayed cannot go from pending to published"):
        ledger.move(record.id, State.PUBLISHED, NOW)


def test_ledger_survives_power_loss_by_its_settings(ledger: Ledger) -> None:
    values = {name: ledger._rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_cycle_is_entered_once(ledger: Ledger) -> None:
    first = ledger.add_cycle(TIME, Stream.DELAYED, NOW)
    assert ledger.add_cycle(TIME, Stream.DELAYED, NOW + timedelta(hours=1)) == first
    assert ledger.add_cycle(TIME, Stream.EARLY, NOW).id != first.id
    assert [(r.stream, r.state) for r in ledger.cycles()] == [
        (Stream.DELAYED, State.PENDING),
        (Stream.EARLY, State.PENDING),
    ]


def test_superseded_cycle_makes_room_for_the_next_version(ledger: Ledger) -> None:
    first = ledger.add_cycle(TIME, Stream.EARLY, NOW)
    ledger.move(first.id, State.SUPERSEDED, NOW, "more soundings")
    second = ledger.add_cycle(TIME, Stream.EARLY, NOW)
    assert (second.version, second.label) == (2, "2021-03-01T00 early (version 2)")
    assert ledger.cycle(TIME, Stream.EARLY) == second
    assert [r.version for r in ledger.cycles(superseded=True)] == [1, 2]
    assert [r.version for r in ledger.cycles()] == [2]


def test_everything_written_reads_back(ledger: Ledger) -> None:
    cycle = ledger.add_cycle(TIME, Stream.DELAYED, NOW).id
    counts = Counts(9, 7, 1, {"t850": {"used": 6, "background": 2}, "q850": {"withheld": 1}})
    statistics = Statistics(
        {"t850": Departure(6, 0.25, 1.5)}, {"t850": Departure(6, 0.125, 0.5)}, {"t850": 1.25, "q850": float("nan")}
    )
    ledger.set_counts(cycle, counts)
    ledger.set_statistics(cycle, statistics)
    ledger.set_statistics(cycle, statistics)
    assert ledger.counts(cycle) == counts
    assert (counts.total("used"), counts.rejected) == (6, {"background": 2})
    found = ledger.statistics(cycle)
    assert (found.omb, found.oma, found.spread_skill["t850"]) == (statistics.omb, statistics.oma, 1.25)
    assert found.spread_skill["q850"] != found.spread_skill["q850"]  # NaN comes back as NaN
    artefact = Artefact("ingest", "a.npy", "work/x/a.npy", "ab" * 32, 12)
    ledger.add_artefact(cycle, artefact)
    assert ledger.artefacts(cycle) == {"a.npy": artefact}
    assert ledger.artefacts(cycle, Stage.FORECAST) == {}


def test_stages_count_their_attempts(ledger: Ledger) -> None:
    cycle = ledger.add_cycle(TIME, Stream.DELAYED, NOW).id
    for failed in (True, False):
        ledger.begin_stage(cycle, Stage.INGEST, NOW)
        ledger.end_stage(cycle, Stage.INGEST, 1.23456, failed)
    stage = ledger.stages(cycle)["ingest"]
    assert (stage.state, stage.attempt, stage.seconds, stage.started_at) == ("done", 2, 1.235, NOW)


def test_other_settings_forget_what_was_done(ledger: Ledger) -> None:
    cycle = ledger.add_cycle(TIME, Stream.DELAYED, NOW).id
    assert not ledger.begin_attempt(cycle, "a")
    ledger.begin_stage(cycle, Stage.INGEST, NOW)
    ledger.add_artefact(cycle, Artefact("ingest", "a.npy", "a.npy", "00", 1))
    assert not ledger.begin_attempt(cycle, "a")
    assert ledger.artefacts(cycle)
    assert ledger.begin_attempt(cycle, "b")
    assert not ledger.artefacts(cycle)
    assert not ledger.stages(cycle)
    assert ledger.by_id(cycle).attempts == 3


def test_outcomes_are_counted_and_never_fall(ledger: Ledger) -> None:
    cycle = ledger.add_cycle(TIME, Stream.DELAYED, NOW).id
    for state in (State.INGESTING, State.FAILED, State.INGESTING, State.FAILED):
        ledger.move(cycle, state, NOW, "broken")
    assert ledger.by_id(cycle).failed_attempts == 2
    assert ledger.expire([TIME, TIME + timedelta(hours=12)], NOW, "too old") == 2
    ledger.move(cycle, State.SUPERSEDED, NOW)
    assert ledger.outcomes() == {("delayed", "failed"): 2, ("delayed", "expired"): 2, ("delayed", "superseded"): 1}
    assert ledger.events()[0].text == "2 cycles, 2021-03-01T00 to 2021-03-01T12, expired: too old"


def test_reader_cannot_write_and_does_not_block_the_writer(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add_cycle(TIME, Stream.DELAYED, NOW)
    with History.read(tmp_path) as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM cycles")
        reader._connection.execute("BEGIN")
        assert len(reader.cycles()) == 1
        ledger.add_cycle(TIME + timedelta(hours=12), Stream.DELAYED, NOW)  # while the reader looks at its snapshot
        assert len(reader.cycles()) == 1
        reader._connection.execute("COMMIT")
        assert len(reader.cycles()) == 2


def test_reader_sees_the_last_commit_while_the_writer_is_busy(tmp_path: Path, ledger: Ledger) -> None:
    with ledger._transaction() as db:
        db.execute("INSERT INTO notes VALUES ('a', 'b')")
        with History.read(tmp_path) as reader:
            assert reader.note("a") is None
    with History.read(tmp_path) as reader:
        assert reader.note("a") == "b"


def test_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    record = ledger.add_cycle(TIME, Stream.DELAYED, NOW)
    with pytest.raises(StateError, match="FOREIGN KEY"):
        ledger.add_artefact(record.id + 1, Artefact("ingest", "a", "a", "00", 1))
    ledger.tell("still works", NOW)


def test_absent_damaged_and_newer_ledgers_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="nothing has run with this state directory yet"):
        History.read(tmp_path)
    path = tmp_path / LEDGER_NAME
    path.write_bytes(b"this is no database, but long enough to be taken for one" * 100)
    for open_it in (History.read, Ledger.open):
        with pytest.raises(StateError, match=r"ledger .* is damaged: .*dacycle repair"):
            open_it(tmp_path)
    path.unlink()
    Ledger.open(tmp_path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StateError, match=f"has version 99; this program knows {VERSION}"):
        Ledger.open(tmp_path)


def test_only_one_holds_the_state_directory(tmp_path: Path) -> None:
    refused = pytest.raises(StateError, match=r"is in use by another dacycle \(process \d+\)")
    with exclusive(tmp_path), refused, exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass


def test_times_are_utc_text_that_sorts() -> None:
    assert format_time(TIME) == "2021-03-01T00:00:00Z"
    assert parse_time("2021-03-01T00:00:00Z") == TIME
    with pytest.raises(ValueError, match="got '2021-03-01'"):
        parse_time("2021-03-01")
