"""What ``dacycle status`` prints: nothing that is open is left out, nothing is said twenty times."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.owed import SOURCE_SEEN, SOURCE_TROUBLE
from dacycle.cycler.cycle.records import format_time
from dacycle.cycler.cycle.requests import ask
from dacycle.cycler.cycle.states import Stream
from dacycle.cycler.cycle.status_text import status_lines
from tests.cycle.small_world import START, hours

CONFIG = Config.model_validate({"cycle": {"first": START}})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path) as opened:
        yield opened


def lines(ledger: Ledger) -> list[str]:
    return status_lines(ledger, CONFIG, hours(24 * 30))


def test_equal_reasons_are_told_once(ledger: Ledger) -> None:
    ledger.expire([hours(12 * k) for k in range(3)], START, "due for more than 10 days")
    ledger.expire([hours(36)], START, "skipped by anna")
    told = [line for line in lines(ledger) if ": " in line]
    assert told[0] == "2021-03-01T00 to 2021-03-02T00 delayed, 3 cycles: due for more than 10 days"
    assert told[1] == "2021-03-02T12 delayed: skipped by anna"


def test_held_and_unfinished_cycles_stay_in_sight_however_old(ledger: Ledger) -> None:
    ledger.hold(ledger.add_cycle(START, Stream.DELAYED, START).id, held=True)
    ledger.expire([hours(12 * k) for k in range(1, 31)], START, "too old")
    head, older, first, *_ = lines(ledger)
    assert head.startswith("cycle")
    assert older.startswith("… 10 older")
    assert first.startswith("2021-03-01T00  delayed  pending, held")


def test_requests_are_told_with_their_answers(ledger: Ledger, tmp_path: Path) -> None:
    for k in range(7):
        ask(tmp_path, "hold", hours(12 * k), hours(1), by="anna")
    ledger.write("UPDATE requests SET done_at = ?, answer = 'refused: x' WHERE id < 7", format_time(hours(2)))
    told = [line for line in lines(ledger) if line.startswith("request")]
    assert len(told) == 5
    assert told[0] == "request 3, hold of 2021-03-02T00, asked 2021-03-01 01:00 by anna: refused: x"
    assert told[-1].endswith("waits for its answer, which comes between two cycles")


def test_the_end_of_a_period_is_told(ledger: Ledger) -> None:
    ledger.expire([START], START, "skipped")
    ended = Config.model_validate({"cycle": {"first": START, "last": START}})
    assert "next due: nothing, the period is over ([cycle] last)" in status_lines(ledger, ended, START)


def test_why_the_source_cannot_be_read_is_told_until_it_was_read(ledger: Ledger) -> None:
    ledger.tell(f"{SOURCE_TROUBLE}nobody answers", hours(1), "warning")
    assert lines(ledger)[-1] == "since 2021-03-01T01:00:00Z the source cannot be read: nobody answers"
    ledger.set_note(SOURCE_SEEN, format_time(hours(1) + timedelta(minutes=5)))
    assert not any("nobody answers" in line for line in lines(ledger))
