"""Which cycles are owed: the rules of the two cut-offs, the catch-up limit, and holds."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.owed import FIRST, Owed, first_time, lag, next_due, owed_delayed, stale_delayed
from dacycle.cycler.cycle.records import format_time
from dacycle.cycler.cycle.reruns import mark
from dacycle.cycler.cycle.states import STATE_OF, Stage, State, Stream
from tests.cycle.small_world import START, hours

CONFIG = Config.model_validate({"cycle": {"first": START}})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path) as opened:
        yield opened


def publish(ledger: Ledger, time: datetime) -> None:
    cycle = ledger.add_cycle(time, Stream.DELAYED, time).id
    for state in [*STATE_OF.values(), State.PUBLISHED]:
        ledger.move(cycle, state, time)


def test_nothing_is_owed_before_the_cutoff_even_when_the_source_has_it(ledger: Ledger) -> None:
    assert owed_delayed(ledger, CONFIG, START, hours(240), hours(71)) is None
    assert owed_delayed(ledger, CONFIG, START, hours(240), hours(72)) == Owed(START, last_call=False)


def test_a_slow_source_is_waited_for_but_not_beyond_the_last_cutoff(ledger: Ledger) -> None:
    for newest in (None, START - timedelta(hours=1)):
        assert owed_delayed(ledger, CONFIG, START, newest, hours(239)) is None
        assert owed_delayed(ledger, CONFIG, START, newest, hours(240)) == Owed(START, last_call=True)
    assert owed_delayed(ledger, CONFIG, START, START, hours(100)) == Owed(START, last_call=False)


def test_cycles_come_oldest_first_and_wait_for_the_one_before(ledger: Ledger) -> None:
    now, newest = hours(240), hours(240)
    assert owed_delayed(ledger, CONFIG, START, newest, now) == Owed(START, last_call=True)
    publish(ledger, START)
    assert owed_delayed(ledger, CONFIG, START, newest, now) == Owed(hours(12), last_call=False)
    ledger.hold(ledger.add_cycle(hours(12), Stream.DELAYED, now).id, held=True)
    assert owed_delayed(ledger, CONFIG, START, newest, now) is None


def test_a_gap_in_the_history_is_owed(ledger: Ledger) -> None:
    for hour in (0, 24, 36):
        publish(ledger, hours(hour))
    owed = owed_delayed(ledger, CONFIG, START, hours(48), hours(200))
    assert owed is not None
    assert owed.time == hours(12)
    assert next_due(ledger, CONFIG) == hours(12 + 72)


def test_first_time_is_configured_or_remembered_or_the_newest(ledger: Ledger) -> None:
    free = Config()
    assert first_time(ledger, CONFIG, hours(99)) == START
    assert first_time(ledger, free, None) is None
    assert first_time(ledger, free, hours(13)) == hours(12)
    ledger.set_note(FIRST, format_time(hours(24)))
    assert first_time(ledger, free, hours(99)) == hours(24)


def test_what_was_due_too_long_expires_but_not_the_first(ledger: Ledger) -> None:
    now = hours(24 * 20)
    stale = stale_delayed(ledger, CONFIG, START, now, now)
    assert stale[0] == hours(12)
    assert now - stale[-1] == timedelta(days=13, hours=12)
    assert stale == sorted(stale)
    publish(ledger, hours(12))
    assert hours(12) not in stale_delayed(ledger, CONFIG, START, now, now)


def test_a_held_cycle_and_those_behind_it_do_not_expire(ledger: Ledger) -> None:
    now = hours(24 * 20)
    publish(ledger, START)
    held = ledger.add_cycle(hours(36), Stream.DELAYED, now).id
    ledger.hold(held, held=True)
    assert stale_delayed(ledger, CONFIG, START, now, now) == [hours(12), hours(24)]
    ledger.hold(held, held=False)
    assert stale_delayed(ledger, CONFIG, START, now, now)[:3] == [hours(12), hours(24), hours(36)]


def test_what_an_operator_asked_for_does_not_expire(ledger: Ledger) -> None:
    now = hours(24 * 20)
    mark(ledger, ledger.add_cycle(hours(12), Stream.DELAYED, now), Stage.INGEST, "released")
    assert stale_delayed(ledger, CONFIG, START, now, now)[0] == hours(24)


def test_outage_of_ten_days_loses_nothing_with_the_default_limit(ledger: Ledger) -> None:
    publish(ledger, START)
    assert stale_delayed(ledger, CONFIG, START, hours(12), hours(12 + 72 + 240)) == []


def test_a_cycle_that_may_still_wait_for_soundings_is_not_stale(ledger: Ledger) -> None:
    eager = Config.model_validate({"cycle": {"first": START, "catch_up_limit_days": 1}})
    publish(ledger, START)
    assert stale_delayed(ledger, eager, START, hours(12), hours(12 + 240)) == []
    assert stale_delayed(ledger, eager, START, hours(12), hours(12 + 240 + 12)) == [hours(12)]


def test_an_archive_of_the_past_has_an_end(ledger: Ledger) -> None:
    short = Config.model_validate({"cycle": {"first": START, "catch_up_limit_days": 1}})
    publish(ledger, START)
    years_later = hours(24 * 365 * 20)
    assert stale_delayed(ledger, short, START, START, years_later) == [hours(12), hours(24)]
    ledger.expire([hours(12), hours(24)], years_later, "too old")
    assert stale_delayed(ledger, short, START, START, years_later) == []
    assert owed_delayed(ledger, short, START, START, years_later) is None
    assert owed_delayed(ledger, short, START, hours(36), hours(36 + 80)) == Owed(hours(36), last_call=False)


def test_next_due_and_lag(ledger: Ledger) -> None:
    assert next_due(ledger, Config()) is None
    assert next_due(ledger, CONFIG) == hours(72)
    assert lag(ledger, CONFIG, hours(71)) == timedelta(0)
    assert lag(ledger, CONFIG, hours(75)) == timedelta(hours=3)
    publish(ledger, START)
    assert next_due(ledger, CONFIG) == hours(84)
