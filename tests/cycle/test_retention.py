"""Retention over whole histories: what the rule says goes, and never what a rerun or an owed cycle starts from."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.records import Artefact, CycleRecord
from dacycle.cycler.cycle.requests import ask
from dacycle.cycler.cycle.retention import retention, retire
from dacycle.cycler.cycle.states import FINISHED, PUBLISHED, State, Stream
from dacycle.cycler.cycle.task import INITIAL
from dacycle.cycler.cycle.workspace import Kept
from dacycle.cycler.products.folders import product_folder, published_times

START = datetime(2021, 1, 1, tzinfo=UTC)
STEP = timedelta(hours=12)


def settings(state: Path, days: float, window: float = 10) -> Config:
    return Config.model_validate(
        {
            "paths": {"state": state},
            "cycle": {"rerun_window_days": window},
            "products": {"retention_days": days},
        }
    )


def add(ledger: Ledger, state: Path, time: datetime, stream: Stream, what: State) -> None:
    """A cycle in that state with the files that such a cycle has."""
    record = ledger.add_cycle(time, stream, time)
    with ledger._transaction() as db:
        db.execute("UPDATE cycles SET state = ? WHERE id = ?", (what, record.id))
    work = Kept(state, ledger, record).folder
    work.mkdir(parents=True)
    (work / INITIAL).write_bytes(b"state")
    ledger.add_artefact(record.id, Artefact("reinitialise", INITIAL, f"work/{work.name}/{INITIAL}", "00", 5))
    if what in PUBLISHED:
        folder = product_folder(state, time, stream)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "analysis.nc").write_bytes(b"123")


def random_history(ledger: Ledger, state: Path, rng: random.Random) -> None:
    """Delayed cycles with gaps and failures, mostly towards the end, and an early stream beyond them."""
    ledger._connection.execute("PRAGMA synchronous = OFF")  # many small facts, and no power loss here
    count = rng.randint(2, 80)
    ends = [State.PUBLISHED] * 12 + [State.PUBLISHED_FREE_FORECAST, State.EXPIRED]
    open_ends = [State.PENDING, State.WAITING_OBS, State.FAILED, State.ASSIMILATING]
    for k in range(count):
        unfinished = rng.random() < (0.3 if k > count - 5 else 0.01)
        add(ledger, state, START + k * STEP, Stream.DELAYED, rng.choice(open_ends if unfinished else ends))
    for k in range(max(0, count - 3), count + rng.randint(1, 6)):
        add(ledger, state, START + k * STEP, Stream.EARLY, rng.choice([State.PUBLISHED, State.FAILED]))


def start_of(delayed: list[CycleRecord], time: datetime) -> datetime | None:
    """Whose analysis a cycle starts from: the one before it, or the one before those that expired."""
    for record in reversed([record for record in delayed if record.time < time]):
        if record.state in PUBLISHED:
            return record.time
        if record.state != State.EXPIRED:
            return None
    return None


@pytest.mark.parametrize("seed", range(25))
def test_in_a_random_history_nothing_goes_that_is_young_or_needed_and_all_else_does(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    days, window = rng.choice([0.5, 3, 12, 25]), rng.choice([0, 2, 10])
    config = settings(tmp_path, days, window)
    with Ledger.open(tmp_path) as ledger:
        random_history(ledger, tmp_path, rng)
        delayed = ledger.cycles(Stream.DELAYED)
        now = delayed[-1].time + rng.choice([timedelta(days=3), timedelta(days=11), timedelta(days=4000)])
        published = [r.time for r in delayed if r.state in PUBLISHED]
        asked = [rng.choice(delayed) for _ in range(rng.choice([0, 0, 1, 2]))]
        for record in asked:
            if rng.random() < 0.5:
                ask(tmp_path, "rerun", record.time, now)
            else:
                ledger.write("INSERT OR REPLACE INTO reruns VALUES (?, 'ingest', 'late', 'owed')", record.id)
        # What the rule promises, told anew and cycle by cycle.
        present = min(now, published[-1] + timedelta(hours=240)) if published else now
        watched = (published[-1] if published else now) - timedelta(days=window)
        reruns = [time for time in published if time >= watched]
        owed = [r.time for r in delayed if r.state not in FINISHED] + [published[-1] + STEP] if published else []
        owed += [record.time for record in asked]
        inputs = {start for time in (*reruns, *owed) if (start := start_of(delayed, time)) is not None}
        before = {time for time, _ in published_times(tmp_path)}
        chosen = retire(ledger, config, now)
        after = {time for time, _ in published_times(tmp_path)}
        kept = {r.time for r in ledger.cycles() if Kept(tmp_path, ledger, r).folder.exists()}
        if not published:
            assert chosen is None
            assert after == before
            return
        assert chosen is not None
        assert inputs <= kept, "a cycle that may run again has lost its start"
        grown = min((*reruns, *owed))
        assert {t for t in before if t >= grown or t >= present - timedelta(days=days)} <= after
        gone = before - after
        assert all(time < present - timedelta(days=days) for time in gone)
        lowest = min((grown - STEP, present - timedelta(days=days) - STEP, watched - STEP, *inputs))
        assert {t for t in before if t < min(lowest, start_of(delayed, lowest + STEP) or lowest)} <= gone
        assert gone == {each.time for each in chosen.products}
        for record in ledger.cycles():
            known = bool(ledger.artefacts(record.id))
            assert known == Kept(tmp_path, ledger, record).folder.exists(), record.label


def test_the_dry_run_removes_nothing_and_says_why_no_more_goes(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger._connection.execute("PRAGMA synchronous = OFF")
        for k in range(60):
            add(ledger, tmp_path, START + k * STEP, Stream.DELAYED, State.PUBLISHED)
        now = START + 60 * STEP
        chosen = retention(ledger, settings(tmp_path, 5), now)
        assert chosen is not None
        assert chosen.because == "soundings may still cause reruns (rerun_window_days = 10)"
        assert [each.time for each in chosen.products] == [START + k * STEP for k in range(38)]
        assert len(list(published_times(tmp_path))) == 60
        held = ledger.cycles(Stream.DELAYED)[7]
        with ledger._transaction() as db:
            db.execute("UPDATE cycles SET state = 'failed' WHERE id = ?", (held.id,))
        chosen = retention(ledger, settings(tmp_path, 5), now)
        assert chosen is not None
        assert chosen.because == "2021-01-04T12 delayed is failed"
        assert [each.time for each in chosen.products] == [START + k * STEP for k in range(6)]


def test_zero_days_keep_everything(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        add(ledger, tmp_path, START, Stream.DELAYED, State.PUBLISHED)
        assert retention(ledger, settings(tmp_path, 0), START + timedelta(days=4000)) is None


def test_a_clock_that_jumps_ahead_removes_no_more_than_the_newest_analysis_allows(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        ledger._connection.execute("PRAGMA synchronous = OFF")
        for k in range(60):
            add(ledger, tmp_path, START + k * STEP, Stream.DELAYED, State.PUBLISHED)
        retire(ledger, settings(tmp_path, 15), START + timedelta(days=9000))
        left = [time for time, _ in published_times(tmp_path)]
        assert left[0] == START + 59 * STEP - timedelta(days=10) - STEP
