"""Full disks and read-only ones: a reason, no failure counted, and the undisturbed result once there is room."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dacycle.cycler.cycle import space
from dacycle.cycler.cycle.engine import Engine, open_engine
from dacycle.cycler.cycle.progress import Observer, Progress, unobserved
from dacycle.cycler.cycle.states import State, Stream
from dacycle.cycler.service.worker import Worker
from dacycle.errors import DacycleError
from tests.cycle.outcomes import outcome
from tests.cycle.small_world import START, config, hours, soundings
from tests.faults.mounts import filled, read_only, small_disk
from tests.service.worlds import Clock, delayed, texts

DONE = {0: State.PUBLISHED, 12: State.PUBLISHED}
CYCLE = {"first": START, "cutoff_hours": 12, "cutoff_max_hours": 48, "early_stream": False}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return soundings(tmp_path / "archive", [hours(0), hours(12)])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 64) as mounted:
        yield mounted


@pytest.fixture
def undisturbed(tmp_path: Path, archive: Path, tiny_bundle_path: Path) -> dict[str, object]:
    chosen = config(tmp_path / "undisturbed", archive, tiny_bundle_path, cycle=CYCLE)
    with open_engine(chosen, hours(0)) as engine:
        Worker(engine, Clock(hours(30))).work()
    return outcome(chosen)


def working(engine: Engine, clock: Clock, observer: Observer = unobserved) -> Worker:
    return Worker(replace(engine, observer=observer), clock)


def test_disk_without_room_is_told_before_a_stage_begins(
    disk: Path, archive: Path, tiny_bundle_path: Path, undisturbed: dict[str, object]
) -> None:
    chosen = config(disk, archive, tiny_bundle_path, cycle=CYCLE)
    clock = Clock(hours(30))
    with open_engine(chosen, hours(0)) as engine:
        worker = working(engine, clock)
        with filled(disk, leave=1_000_000):
            for _ in range(5):
                worker.work()
                clock.now += timedelta(hours=1)
            assert worker.trouble is not None
            assert "1 MB free" in worker.trouble
            assert "make room" in worker.trouble
            assert delayed(engine) == {}
        worker.work()
        assert worker.trouble is None
        assert delayed(engine) == DONE
        told = [text for text in texts(engine) if "make room" in text or "can be used again" in text]
        assert len(told) == 2
    assert outcome(chosen) == undisturbed


@pytest.mark.parametrize("stage", ["ingest", "assimilate", "publish"])
def test_disk_that_fills_up_in_mid_stage(
    disk: Path,
    archive: Path,
    tiny_bundle_path: Path,
    undisturbed: dict[str, object],
    stage: str,
) -> None:
    """Something else takes all room after the guard has looked."""
    chosen = config(disk, archive, tiny_bundle_path, cycle=CYCLE)
    clock = Clock(hours(30))
    pages = disk / "ballast"

    def fill(progress: Progress) -> None:
        if progress.point == "stage_begin" and progress.stage == stage and progress.time == hours(12):
            with pages.open("ab") as file:
                try:
                    while True:
                        file.write(bytes(4096))
                        file.flush()
                except OSError:
                    pass

    with open_engine(chosen, hours(0)) as engine:
        worker = working(engine, clock, fill)
        for _ in range(5):
            with suppress(DacycleError):
                worker.work()
            clock.now += timedelta(minutes=1)
        record = engine.ledger.cycle(hours(12), Stream.DELAYED)
        assert record is not None
        assert record.state not in (State.PUBLISHED, State.FAILED)
        assert record.failed_attempts == 0
        pages.unlink()
        working(engine, clock).work()
        assert delayed(engine) == DONE
    assert outcome(chosen) == undisturbed


def test_state_that_turns_read_only_and_back(
    disk: Path, archive: Path, tiny_bundle_path: Path, undisturbed: dict[str, object]
) -> None:
    chosen = config(disk, archive, tiny_bundle_path, cycle=CYCLE)
    clock = Clock(hours(13))
    with open_engine(chosen, hours(0)) as engine:
        worker = working(engine, clock)
        worker.work()
        clock.now = hours(30)
        with read_only(chosen.paths.state / "work", chosen.paths.state / "products"):
            for _ in range(4):
                worker.work()
                assert worker.trouble is not None
                assert "read-only" in worker.trouble
                clock.now += timedelta(minutes=5)
        worker.work()
        assert worker.trouble is None
        assert delayed(engine) == DONE
    assert outcome(chosen) == undisturbed


def test_read_only_state_at_the_start_is_one_line(disk: Path, archive: Path, tiny_bundle_path: Path) -> None:
    chosen = config(disk, archive, tiny_bundle_path, cycle=CYCLE)
    chosen.paths.state.mkdir()
    told = pytest.raises(DacycleError, match=r"cannot be used: .*Read-only.*; set \[paths\] state")
    with read_only(chosen.paths.state), told, open_engine(chosen, hours(0)):
        pass


def test_guard_counts_what_a_cycle_writes(tmp_path: Path, archive: Path, tiny_bundle_path: Path) -> None:
    chosen = config(tmp_path, archive, tiny_bundle_path, cycle=CYCLE, products={"formats": ["netcdf", "grib2"]})
    with open_engine(chosen, hours(0)) as engine:
        engine.run(START, hours(30))
        needed = space.needed_bytes(chosen, engine.bundle) - space.LEDGER_BYTES
        written = sum(p.stat().st_size for p in chosen.paths.state.rglob("*") if p.suffix in (".nc", ".grib2", ".npy"))
    assert written < needed
