"""What the daemon does when it wakes, with only the clock made up."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dacycle.cycler.cycle.progress import Progress
from dacycle.cycler.cycle.states import State, Stream
from dacycle.cycler.products.folders import published_times
from dacycle.cycler.service.worker import Worker
from dacycle.errors import SourceError
from tests.cycle.small_world import START, hours, soundings
from tests.service.worlds import Clock, Open, delayed, texts


def test_owed_cycles_run_oldest_first_and_the_early_stream_reaches_now(opened: Open) -> None:
    engine = opened(early_stream=True)
    clock = Clock(hours(37))
    Worker(engine, clock).work()
    assert delayed(engine) == {0: State.PUBLISHED, 12: State.PUBLISHED}
    early = engine.ledger.cycles(Stream.EARLY)
    assert [r.time for r in early] == [hours(24), hours(36)]
    assert [r.id for r in engine.ledger.cycles()] == [1, 2, 3, 4]


def test_nothing_is_done_twice(opened: Open) -> None:
    engine = opened(early_stream=True)
    worker = Worker(engine, Clock(hours(25)))
    worker.work()
    before = engine.ledger.events()
    worker.work()
    assert engine.ledger.events() == before


def test_slow_source_is_waited_for_until_the_last_cutoff(opened: Open, archive: Path) -> None:
    engine = opened()
    clock = Clock(hours(24 + 47))
    worker = Worker(engine, clock)
    worker.work()
    assert delayed(engine) == {0: State.PUBLISHED, 12: State.PUBLISHED}
    soundings(archive, [hours(0), hours(12), hours(24)])
    worker.work()
    assert delayed(engine)[24] == State.PUBLISHED
    clock.now = hours(36 + 48)
    worker.work()
    assert delayed(engine)[36] == State.PUBLISHED_FREE_FORECAST


def test_first_cycle_without_soundings_is_given_up_at_the_last_cutoff(opened: Open) -> None:
    engine = opened(first=hours(-12))
    clock = Clock(hours(35))
    worker = Worker(engine, clock)
    worker.work()
    assert delayed(engine) == {-12: State.WAITING_OBS}
    clock.now = hours(36)
    worker.work()
    assert delayed(engine) == {-12: State.EXPIRED, 0: State.PUBLISHED, 12: State.PUBLISHED}


def test_cycles_due_too_long_expire_and_are_accounted_for(opened: Open) -> None:
    engine = opened(catch_up_limit_days=2)
    engine.run(hours(0), hours(1))
    Worker(engine, Clock(hours(24 * 4))).work()
    found = delayed(engine)
    assert found[12] == found[24] == State.EXPIRED
    assert found[0] == State.PUBLISHED
    assert set(found) == set(range(0, max(found) + 12, 12))
    assert any("expired: due for more than 2 days" in text for text in texts(engine))


def test_poisonous_cycle_is_tried_again_then_goes_on_with_the_forecast(opened: Open, archive: Path) -> None:
    soundings(archive, [hours(0), hours(12), hours(24)])
    engine = opened(max_attempts=2)

    def poison(progress: Progress) -> None:
        if progress.point == "step" and progress.time == hours(12):
            raise RuntimeError("poison")

    clock = Clock(hours(40))
    worker = Worker(replace(engine, observer=poison), clock)
    worker.work()
    assert delayed(engine) == {0: State.PUBLISHED, 12: State.FAILED}
    worker.work()  # not again at once
    record = engine.ledger.cycle(hours(12), Stream.DELAYED)
    assert record is not None
    assert (record.attempts, record.reason) == (1, "RuntimeError: poison")
    for _ in range(2):
        clock.now += timedelta(hours=1)
        worker.work()
    found = delayed(engine)
    assert (found[12], found[24]) == (State.PUBLISHED_FREE_FORECAST, State.PUBLISHED)
    assert any("RuntimeError: poison" in text for text in texts(engine))


def test_held_cycle_waits_for_its_release(opened: Open) -> None:
    engine = opened()
    record = engine.ledger.add_cycle(START, Stream.DELAYED, hours(0))
    engine.ledger.hold(record.id, held=True)
    worker = Worker(engine, Clock(hours(30)))
    worker.work()
    assert delayed(engine) == {0: State.PENDING}
    engine.ledger.hold(record.id, held=False)
    worker.work()
    assert delayed(engine)[0] == State.PUBLISHED


def test_source_that_is_down_is_told_once_and_again_when_it_is_back(opened: Open) -> None:
    engine = opened()
    good, worker = engine.source, Worker(engine, Clock(hours(6)))
    worker.work()
    engine.source = Down()
    for _ in range(3):
        worker.work()
    engine.source = good
    worker.work()
    told = [text for text in reversed(texts(engine)) if "source" in text]
    assert told == ["the source cannot be read: nobody answers", "the source can be read again"]


class Down:
    """A source that nobody can reach."""

    def refresh(self, time: datetime | None = None) -> Any:
        raise SourceError("nobody answers")

    fetch = newest = refresh


def test_old_products_go_after_publishing_and_scores_of_what_is_left_remain(opened: Open) -> None:
    engine = opened(last=hours(36))
    engine.config = engine.config.model_copy(
        update={"products": engine.config.products.model_copy(update={"retention_days": 0.5})}
    )
    cycle = engine.config.cycle.model_copy(update={"rerun_window_days": 0, "cutoff_max_hours": 12})
    engine.config = engine.config.model_copy(update={"cycle": cycle})
    Worker(engine, Clock(hours(60))).work()
    published = [r for r in engine.ledger.cycles(Stream.DELAYED) if r.published_at]
    assert len(published) > 2
    kept = [time for time, _ in published_times(engine.state)]
    assert published[-1].time in kept
    assert published[0].time not in kept
    assert {e.time for e in engine.ledger.products()} == set(kept)
    removed = engine.ledger.products(statuses=("removed",))
    assert {e.time for e in removed} == {r.time for r in published} - set(kept)
    assert any(text.startswith("retention: ") for text in texts(engine))
