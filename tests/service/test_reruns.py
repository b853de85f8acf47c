"""Late and revised soundings, and operators' reruns: once, in one pass with what grew on it, nothing overwritten."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dacycle.cycler.cycle.engine import Engine
from dacycle.cycler.cycle.interventions import carry_out
from dacycle.cycler.cycle.progress import Progress, Stopped
from dacycle.cycler.cycle.requests import ask, requests
from dacycle.cycler.cycle.states import State, Stream
from dacycle.cycler.products.manifest import read_manifest, verify
from dacycle.cycler.service.health import Word
from dacycle.cycler.service.verdict import situation, verdict
from dacycle.cycler.service.worker import Worker
from tests.cycle.small_world import START, hours, soundings
from tests.obs import igra_text
from tests.service.worlds import Clock, Open, delayed, texts, versions

TIMES = [hours(0), hours(12), hours(24)]
OLD, NEW = State.SUPERSEDED, State.PUBLISHED


@pytest.fixture
def world(opened: Open, archive: Path) -> tuple[Engine, Worker, Clock, Path]:
    """Three published cycles; the second had 20 of the 25 stations."""
    soundings(archive, TIMES, late={hours(12): 5})
    engine = opened(early_stream=False)
    clock = Clock(hours(40))
    worker = Worker(engine, clock)
    worker.work()
    assert delayed(engine) == {0: NEW, 12: NEW, 24: NEW}
    clock.now += timedelta(hours=1)
    return engine, worker, clock, archive


World = tuple[Engine, Worker, Clock, Path]


def product(engine: Engine, name: str) -> bytes:
    return (engine.state / "products/2021/03" / name).read_bytes()


def test_late_soundings_lead_to_one_rerun_of_the_cycle_and_of_what_grew_on_it(world: World) -> None:
    engine, worker, clock, archive = world
    before = {name: product(engine, f"{name}/analysis.nc") for name in ("01/00", "01/12", "02/00")}
    soundings(archive, TIMES)
    for _ in range(3):
        worker.work()
        clock.now += timedelta(hours=1)
    assert versions(engine) == {0: [NEW], 12: [OLD, NEW], 24: [OLD, NEW]}
    cycles = [engine.ledger.valid(time, Stream.DELAYED) for time in TIMES]
    assert [c.soundings_used for c in cycles if c] == [25, 25, 25]
    assert [c.base for c in cycles if c] == [None, cycles[0] and cycles[0].id, cycles[1] and cycles[1].id]
    assert product(engine, "01/00/analysis.nc") == before["01/00"]
    for name in ("01/12", "02/00"):
        assert product(engine, f"{name}/analysis.nc") != before[name]
        assert product(engine, f"{name}/superseded/1/analysis.nc") == before[name]
        folder = engine.state / "products/2021/03" / name
        manifest = read_manifest(folder)
        assert manifest is not None
        assert (manifest.revision, verify(folder)) == (2, ())
    assert any("version 2) replaces version 1: 5 late and 0 revised soundings, it used 20" in t for t in texts(engine))
    assert any("(version 2) replaces version 1: what it started from was run again" in t for t in texts(engine))


def test_rerun_gives_what_a_run_with_all_soundings_gives(world: World, tmp_path: Path, opened: Open) -> None:
    engine, worker, _, archive = world
    soundings(archive, TIMES)
    worker.work()
    with_late = {name: product(engine, f"{name}/analysis.nc") for name in ("01/12", "02/00")}
    undisturbed = opened(root=tmp_path / "undisturbed")
    Worker(undisturbed, Clock(hours(40))).work()
    assert with_late == {name: product(undisturbed, f"{name}/analysis.nc") for name in with_late}


def test_batch_for_free_forecasts_leads_to_one_pass_over_them_and_what_grew_on_them(
    opened: Open, archive: Path, tmp_path: Path
) -> None:
    everything = [hours(12 * k) for k in range(6)]
    soundings(archive, [t for t in everything if t not in (hours(12), hours(36))])
    engine = drifting(opened(cutoff_hours=0, cutoff_max_hours=24))
    clock = Clock(hours(84))
    worker = Worker(engine, clock)
    worker.work()
    free = State.PUBLISHED_FREE_FORECAST
    assert delayed(engine) == {0: NEW, 12: free, 24: NEW, 36: free, 48: NEW, 60: NEW}
    soundings(archive, everything)
    clock.now += timedelta(minutes=30)
    worker.work()
    once = {0: [NEW]} | {12 * k: [OLD, NEW] for k in range(1, 6)}
    assert versions(engine) == once
    first = engine.ledger.query("SELECT time FROM cycles WHERE version = 2 ORDER BY id")
    assert [row["time"] for row in first] == sorted(row["time"] for row in first), "oldest first"
    for _ in range(4):  # nothing more comes, nothing more is done
        clock.now += timedelta(minutes=30)
        worker.work()
    assert versions(engine) == once
    again = {time: product(engine, f"{time:%d/%H}/analysis.nc") for time in everything[1:]}
    undisturbed = drifting(opened(root=tmp_path / "undisturbed", cutoff_hours=0, cutoff_max_hours=24))
    Worker(undisturbed, Clock(hours(84))).work()
    assert again == {time: product(undisturbed, f"{time:%d/%H}/analysis.nc") for time in again}


def drifting(engine: Engine) -> Engine:
    """The engine with an option that moves soundings: a rerun heeds it too."""
    quality = engine.config.quality.model_copy(update={"balloon_drift": True})
    engine.config = engine.config.model_copy(update={"quality": quality})
    return engine


def test_revised_soundings_count_as_late_ones_and_few_of_them_are_only_counted(world: World) -> None:
    engine, worker, clock, archive = world
    soundings(archive, TIMES, late={hours(12): 5}, revised={hours(24): 1})
    choosier = engine.config.cycle.model_copy(update={"rerun_min_fraction": 0.08})  # two of twenty-five
    worker.engine = replace(engine, config=engine.config.model_copy(update={"cycle": choosier}))
    worker.work()
    assert versions(engine) == {0: [NEW], 12: [NEW], 24: [NEW]}
    assert counted(engine) == [(3, 0, 1)]
    soundings(archive, TIMES, late={hours(12): 5}, revised={hours(24): 2})
    clock.now += timedelta(hours=1)
    worker.work()
    assert versions(engine) == {0: [NEW], 12: [NEW], 24: [OLD, NEW]}


def counted(engine: Engine) -> list[tuple[int, int, int]]:
    return [tuple(row) for row in engine.ledger.query("SELECT cycle, new, revised FROM late ORDER BY cycle")]


def test_after_the_window_nothing_is_run_again(world: World) -> None:
    engine, worker, clock, archive = world
    soundings(archive, TIMES)
    clock.now += timedelta(days=10)
    worker.work()
    assert versions(engine)[12] == [NEW]


def test_process_that_dies_in_the_middle_of_a_pass_goes_on_with_the_rest(world: World) -> None:
    engine, _, clock, archive = world
    soundings(archive, TIMES)

    def stop(progress: Progress) -> None:
        if progress.time == hours(24) and progress.point == "chunk" and progress.stage == "assimilate":
            raise Stopped

    with pytest.raises(Stopped):
        Worker(replace(engine, observer=stop), clock).work()
    assert versions(engine) == {0: [NEW], 12: [OLD, NEW], 24: [NEW, State.PENDING]}
    assert not (engine.state / "work/2021-03-01T12-delayed-1").exists()
    Worker(engine, clock).work()
    assert versions(engine) == {0: [NEW], 12: [OLD, NEW], 24: [OLD, NEW]}


def test_rerun_that_fails_again_and_again_leaves_the_old_version_valid(world: World) -> None:
    engine, _, clock, archive = world
    soundings(archive, TIMES)

    def poison(progress: Progress) -> None:
        if progress.time == hours(12) and progress.point == "step":
            raise RuntimeError("poison")

    worker = Worker(replace(engine, observer=poison), clock)
    for _ in range(8):
        worker.work()
        clock.now += timedelta(hours=1)
    assert versions(engine) == {0: [NEW], 12: [NEW, OLD], 24: [NEW]}
    assert any("given up after 3 tries: RuntimeError: poison; version 1 stays" in text for text in texts(engine))


def test_soundings_that_left_the_archive_are_not_taken_from_a_cycle(world: World) -> None:
    engine, worker, clock, archive = world
    shutil.rmtree(archive / "access")
    soundings(archive, [hours(36)])
    ask(engine.state, "rerun", hours(12), clock.now)
    worker.work()
    assert versions(engine)[12] == [OLD, NEW]
    rerun = engine.ledger.valid(hours(12), Stream.DELAYED)
    assert rerun is not None
    assert rerun.soundings_used == 20


def test_operator_reruns_from_a_stage_and_the_products_are_the_same(world: World) -> None:
    engine, worker, clock, _ = world
    before = product(engine, "01/12/analysis.nc")
    ask(engine.state, "rerun", hours(12), clock.now, stage="assimilate")
    worker.work()
    assert versions(engine) == {0: [NEW], 12: [OLD, NEW], 24: [OLD, NEW]}
    record = engine.ledger.valid(hours(12), Stream.DELAYED)
    assert record is not None
    stages = engine.ledger.stages(record.id)
    assert stages["ingest"].seconds == stages["forecast"].seconds == 0.0
    assert stages["assimilate"].seconds
    assert product(engine, "01/12/analysis.nc") == before
    assert not (engine.state / "products/2021/03/01/12/superseded").exists()


def test_hold_release_and_skip(opened: Open, archive: Path) -> None:
    soundings(archive, [*TIMES, hours(36)])
    engine = opened()
    clock = Clock(hours(13))
    ask(engine.state, "hold", hours(12), clock.now, by="anna")
    ask(engine.state, "release", START, clock.now)
    ask(engine.state, "rerun", hours(36), clock.now)
    ask(engine.state, "hold", hours(5), clock.now)
    worker = Worker(engine, clock)
    clock.now = hours(60)
    worker.work()
    assert delayed(engine) == {0: NEW, 12: State.PENDING}
    answers = {r.id: r.answer for r in requests(engine.ledger)}
    assert answers[1].startswith("2021-03-01T12 delayed is held: it and those after it wait, and none expires")
    assert answers[2] == "refused: 2021-03-01T00 is not held"
    assert answers[3].startswith("refused: there is no delayed cycle of 2021-03-02T12")
    assert answers[4].startswith("refused: 2021-03-01T05:00 is no analysis time")
    assert any(text.startswith("hold of 2021-03-01T12, asked by anna: ") for text in texts(engine))
    ask(engine.state, "release", hours(12), clock.now)
    ask(engine.state, "skip", hours(24), clock.now)
    ask(engine.state, "skip", START, clock.now)
    worker.work()
    assert delayed(engine) == {0: NEW, 12: NEW, 24: State.EXPIRED, 36: NEW}
    assert requests(engine.ledger)[0].answer.startswith("refused: 2021-03-01T00 delayed is published")
    after = engine.ledger.valid(hours(36), Stream.DELAYED)
    assert after is not None
    assert after.background == "forecast"  # over the gap, from the analysis before it
    ask(engine.state, "rerun", hours(24), clock.now)
    worker.work()
    assert versions(engine) == {0: [NEW], 12: [NEW], 24: [NEW], 36: [OLD, NEW]}


def test_times_without_a_cycle_are_neither_held_nor_skipped(opened: Open) -> None:
    engine = opened(last=hours(24))
    for kind, time in (("hold", hours(-12)), ("skip", hours(-12)), ("hold", hours(36)), ("skip", hours(36))):
        ask(engine.state, kind, time, hours(1))  # type: ignore[arg-type]
    told = carry_out(engine, hours(1))
    assert told[0] == "refused: 2021-02-28T12 lies before the first cycle, 2021-03-01T00: there is nothing to hold"
    assert told[3] == "refused: 2021-03-02T12 lies after [cycle] last, 2021-03-02T00: there is nothing to skip"
    assert all(answer.startswith("refused: ") for answer in told)
    assert engine.ledger.cycles() == []


def test_a_release_asked_for_before_its_hold_is_refused(opened: Open) -> None:
    engine = opened()
    for kind in ("release", "hold"):
        ask(engine.state, kind, hours(12), hours(1))  # type: ignore[arg-type]
    release, hold = carry_out(engine, hours(1))
    assert release == "refused: 2021-03-01T12 is not held"
    assert "is held" in hold


def test_times_far_ahead_are_not_held(opened: Open) -> None:
    engine = opened()
    ask(engine.state, "hold", hours(24 * 11), hours(1))
    ask(engine.state, "hold", hours(24 * 10), hours(1))
    far, near = carry_out(engine, hours(1))
    assert far == "refused: 2021-03-12T00 lies more than 10 days ahead: hold it when it is nearer"
    assert "is held" in near


def test_a_hold_of_later_is_no_headline_and_its_release_leaves_nothing(opened: Open) -> None:
    engine = opened()
    ask(engine.state, "hold", hours(48), hours(1))
    carry_out(engine, hours(1))
    told = verdict(situation(engine.ledger, engine.config, Word(hours(1))))
    assert told.headline != "The cycle of 2021-03-03 00 UTC is held"
    ask(engine.state, "hold", START, hours(1))
    carry_out(engine, hours(1))
    told = verdict(situation(engine.ledger, engine.config, Word(hours(1))))
    assert told.headline == "The cycle of 2021-03-01 00 UTC is held"
    for time in (START, hours(48)):
        ask(engine.state, "release", time, hours(1))
    carry_out(engine, hours(1))
    assert engine.ledger.cycles() == []


def test_a_row_from_before_the_period_is_no_headline(opened: Open) -> None:
    engine = opened()
    engine.ledger.hold(engine.ledger.add_cycle(hours(-12), Stream.DELAYED, hours(1)).id, held=True)
    assert situation(engine.ledger, engine.config, Word(hours(1))).open is None


def test_a_cycle_held_beyond_the_catch_up_limit_runs_when_it_is_released(opened: Open) -> None:
    engine = opened(catch_up_limit_days=2)
    clock = Clock(hours(13))
    worker = Worker(engine, clock)
    worker.work()
    ask(engine.state, "hold", hours(12), clock.now)
    clock.now = hours(24 * 5)
    worker.work()
    assert delayed(engine) == {0: NEW, 12: State.PENDING}
    ask(engine.state, "release", hours(12), clock.now)
    worker.work()
    assert delayed(engine)[12] == NEW
    assert delayed(engine)[24] == State.EXPIRED


def test_skipping_a_held_cycle_ends_its_hold(opened: Open) -> None:
    engine = opened()
    for kind in ("hold", "skip"):
        ask(engine.state, kind, hours(12), hours(1))  # type: ignore[arg-type]
    carry_out(engine, hours(1))
    (record,) = engine.ledger.cycles()
    assert (record.state, record.held) == (State.EXPIRED, False)


def test_held_published_cycle_is_not_run_again(world: World) -> None:
    engine, worker, clock, archive = world
    soundings(archive, TIMES)
    ask(engine.state, "hold", hours(12), clock.now)
    worker.work()
    assert versions(engine)[12] == [NEW]
    ask(engine.state, "release", hours(12), clock.now)
    worker.work()
    assert versions(engine)[12] == [OLD, NEW]


def test_daily_trickle_of_single_late_soundings_from_800_stations_is_counted_and_leads_to_no_rerun(
    opened: Open, archive: Path
) -> None:
    cycles, days = [hours(12 * k) for k in range(3)], 4
    missing = dict.fromkeys(cycles, days)
    igra = Trickle(archive)
    igra.write(cycles, missing)
    # The background check lets all of it pass or none: what the analysis is made of does not matter here.
    engine = opened(assimilation={"method": "oi"}, cutoff_hours=0)
    clock = Clock(hours(25))
    worker = Worker(engine, clock)
    worker.work()
    assert set(delayed(engine).values()) == {NEW}
    for day in range(1, days + 1):
        igra.write(cycles, dict.fromkeys(cycles, days - day))
        clock.now += timedelta(days=1)
        worker.work()
    assert {len(found) for found in versions(engine).values()} == {1}
    assert counted(engine) == [(k + 1, days, 0) for k in range(len(cycles))]


class Trickle:
    """800 stations with one value each at one level."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.rmtree(root / "access")
        self.places = {f"YYX000{k:05d}": (-80 + k // 40 * 8, -180 + k % 40 * 9) for k in range(800)}

    def write(self, times: list, missing: dict) -> None:  # type: ignore[type-arg]
        stations = list(self.places.items())
        texts = {}
        for k, (station, (lat, lon)) in enumerate(stations):
            level = igra_text.Level(press=50000, temp=-35)
            texts[station] = "".join(
                igra_text.sounding(level, station=station, when=f"{t:%Y %m %d %H}", lat=lat * 10**4, lon=lon * 10**4)
                for t in times
                if k < len(stations) - missing[t]
            )
        lines = [igra_text.listed(station, lat, lon, 10.0) for station, (lat, lon) in stations]
        igra_text.archive(self.root, {s: t for s, t in texts.items() if t}, year=2021, stations=lines)
