"""Sources that are late, weekly or down, outages of our own, and clocks that jump: in order, nothing lost, nothing
given up only because somebody is slow. With nothing made up but the clock and the archive's hours."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from dacycle.cycler.cycle.engine import Engine
from dacycle.cycler.cycle.progress import Progress
from dacycle.cycler.cycle.states import PUBLISHED, State, Stream
from dacycle.cycler.service.worker import Worker
from dacycle.errors import SourceError
from tests.cycle.outcomes import outcome
from tests.cycle.small_world import START, hours, soundings
from tests.service.worlds import Clock, Open, delayed, texts

QUICK = {"method": "oi"}
DAYS = timedelta(days=1)


def times(until: datetime) -> list[datetime]:
    """All analysis times from the start on."""
    return [hours(12 * k) for k in range(int((until - START) / timedelta(hours=12)) + 1)]


@pytest.fixture
def live(opened: Open, archive: Path) -> Callable[..., Iterator[tuple[datetime, Engine]]]:
    """Wakes the worker once a day, for cycles of a day; ``seen``: up to when the archive reaches at a moment."""

    def lived(
        days: int,
        seen: Callable[[datetime], datetime],
        awake: Callable[[datetime], bool] = lambda now: True,
        **keys: Any,
    ) -> Iterator[tuple[datetime, Engine]]:
        engine = opened(assimilation=QUICK, early_stream=True, interval_hours=24, cutoff_hours=72, cutoff_max_hours=240)
        clock = Clock(START)
        worker = Worker(engine, clock)
        while clock.now <= START + days * DAYS:
            soundings(archive, [t for t in times(clock.now) if t <= seen(clock.now)] or [START - 300 * DAYS])
            if awake(clock.now):
                worker.work()
                yield clock.now, engine
            clock.now += DAYS

    return lived


def newest_early(engine: Engine) -> datetime | None:
    found = engine.ledger.newest_published(Stream.EARLY)
    return found.time if found else None


Live = Callable[..., Iterator[tuple[datetime, Engine]]]


def test_source_that_is_updated_once_a_week(live: Live) -> None:
    def last_sunday(now: datetime) -> datetime:
        return START + (now - START) // (7 * DAYS) * 7 * DAYS

    *_, (now, engine) = live(17, last_sunday)
    ended = delayed(engine)
    assert set(ended.values()) == {State.PUBLISHED}, "no free forecast, nothing expired"
    assert max(ended) == 24 * 14, "the delayed stream has all that is due and covered"
    assert newest_early(engine) == now, "the early stream is at the present"
    early = engine.ledger.cycles(Stream.EARLY, since=now)
    assert {r.state for r in early} == {State.PUBLISHED_FREE_FORECAST}


def test_source_that_is_a_day_late(live: Live) -> None:
    for now, engine in live(7, lambda now: now - DAYS):
        if now >= START + 4 * DAYS:
            assert newest_early(engine) == now
    assert delayed(engine) == {24 * k: State.PUBLISHED for k in range(5)}
    early = {r.time: r.state for r in engine.ledger.cycles(Stream.EARLY) if r.time > now - 2 * DAYS}
    assert early == {now - DAYS: State.PUBLISHED, now: State.PUBLISHED_FREE_FORECAST}


def test_outage_of_ten_days_is_caught_up_in_order_in_one_waking(live: Live) -> None:
    began, ended = START + 4 * DAYS, START + 14 * DAYS
    for now, engine in live(14, lambda now: now, awake=lambda now: now <= began or now >= ended):
        if now == began:
            assert max(delayed(engine)) == 24
    assert now == ended
    assert delayed(engine) == {24 * k: State.PUBLISHED for k in range(12)}
    done = [r.id for r in engine.ledger.cycles(Stream.DELAYED)]
    assert done == sorted(done), "oldest first"
    assert newest_early(engine) == now


def test_after_a_longer_outage_what_is_too_old_is_marked_and_the_rest_follows(live: Live) -> None:
    began, ended = START + 4 * DAYS, START + 20 * DAYS
    *_, (now, engine) = live(20, lambda now: now, awake=lambda now: now <= began or now >= ended)
    found = delayed(engine)
    assert set(found) == set(range(0, 24 * 18, 24)), "every one is accounted for"
    expired = [hour for hour, state in found.items() if state == State.EXPIRED]
    assert expired == list(range(48, 24 * 7, 24))
    assert all(state == State.PUBLISHED for hour, state in found.items() if hour not in expired)
    first = engine.ledger.valid(hours(24 * 7), Stream.DELAYED)
    assert first is not None
    assert first.background == "forecast", "the cycle goes on from the analysis before the gap"
    assert newest_early(engine) == now


class Down:
    """A source that nobody can reach."""

    def refresh(self, time: datetime | None = None) -> Any:
        raise SourceError("nobody answers")

    fetch = newest = refresh


def test_source_that_is_down_for_three_days_changes_nothing_in_the_end(
    opened: Open, archive: Path, tmp_path: Path
) -> None:
    soundings(archive, times(START + 4 * DAYS))
    results = []
    for name, down in (("undisturbed", range(0)), ("down", range(3, 9))):
        engine = opened(root=tmp_path / name, assimilation=QUICK, cutoff_hours=12, cutoff_max_hours=240)
        clock, good = Clock(hours(12)), engine.source
        worker = Worker(engine, clock)
        for half_day in range(1, 12):
            clock.now = hours(12 * half_day)
            engine.source = Down() if half_day in down else good
            worker.work()
        assert set(delayed(engine).values()) == {State.PUBLISHED}
        results.append(outcome(engine.config))
    assert results[0] == results[1]
    assert sum("the source cannot be read" in text for text in texts(engine)) == 1


@pytest.mark.parametrize("jump", [timedelta(hours=2), timedelta(hours=-2)])
def test_clock_that_jumps_and_is_set_right(opened: Open, archive: Path, tmp_path: Path, jump: timedelta) -> None:
    soundings(archive, times(START + 2 * DAYS))
    results = []
    for name, disturbed in (("undisturbed", False), ("jumping", True)):
        engine = opened(root=tmp_path / name, assimilation=QUICK, cutoff_hours=12, cutoff_max_hours=240)
        clock = Clock(hours(12))
        right = [hours(12)]
        worker = Worker(engine, clock, lambda right=right: (right[0] - START).total_seconds())
        for half_hour in range(24 * 3):
            right[0] = hours(12) + timedelta(minutes=30) * half_hour
            clock.now = right[0] + jump * (disturbed and 20 <= half_hour < 30)
            worker.work()
        assert set(delayed(engine).values()) == {State.PUBLISHED}
        results.append(outcome(engine.config))
    assert results[0] == results[1]
    assert sum("the clock jumped by" in text for text in texts(engine)) == 2


def test_clock_that_is_years_ahead_for_a_while_gives_nothing_up(opened: Open, archive: Path) -> None:
    soundings(archive, times(START + DAYS))
    engine = opened(assimilation=QUICK, cutoff_hours=12, cutoff_max_hours=240)
    clock, seconds = Clock(hours(25)), [0.0]
    worker = Worker(engine, clock, lambda: seconds[0])
    worker.work()
    assert delayed(engine) == {0: State.PUBLISHED, 12: State.PUBLISHED}
    for now in (hours(24 * 2000), hours(24 * 2000), hours(26)):
        clock.now, seconds[0] = now, seconds[0] + 60.0
        worker.work()
        assert {s for h, s in delayed(engine).items() if h > 24} == set()
    clock.now, seconds[0] = hours(37), seconds[0] + 11 * 3600.0
    worker.work()
    assert delayed(engine) == {0: State.PUBLISHED, 12: State.PUBLISHED, 24: State.PUBLISHED}


def test_streak_of_free_forecasts_is_told_once_and_again_when_it_comes_back(opened: Open, archive: Path) -> None:
    engine = opened(assimilation=QUICK, cutoff_hours=0, cutoff_max_hours=0, free_forecast_alarm=2)
    clock = Clock(START)
    worker = Worker(engine, clock)
    soundings(archive, [hours(0), hours(12), hours(72)])
    for half_day in range(10):
        clock.now = hours(12 * half_day)
        worker.work()
    states = delayed(engine)
    assert [h for h, s in states.items() if s == State.PUBLISHED] == [0, 12, 72]
    assert set(states.values()) <= PUBLISHED
    told = [text for text in reversed(texts(engine)) if "no soundings in 2 cycles in a row" in text]
    assert [text.split("since ")[1].split(":")[0] for text in told] == ["2021-03-02T00", "2021-03-04T12"]


def test_stage_that_takes_too_long_fails_and_is_tried_again(opened: Open, archive: Path) -> None:
    engine = opened(stage_timeout_seconds=0.2)

    def slow(progress: Progress) -> None:
        if progress.point == "step":
            sleep(0.3)

    clock = Clock(hours(13))
    Worker(replace(engine, observer=slow), clock).work()
    record = engine.ledger.cycle(START, Stream.DELAYED)
    assert record is not None
    assert (record.state, record.failed_attempts) == (State.FAILED, 1)
    assert record.reason.startswith("assimilate took longer than 0.2 s ([cycle] stage_timeout_seconds)")
    clock.now += timedelta(minutes=10)
    patient = engine.config.cycle.model_copy(update={"stage_timeout_seconds": 600.0})
    Worker(replace(engine, config=engine.config.model_copy(update={"cycle": patient})), clock).work()
    assert delayed(engine)[0] == State.PUBLISHED
