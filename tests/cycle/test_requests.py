"""Requests of operators: entered by any process, answered by the writer, at once or at its next waking."""

from pathlib import Path

import pytest

from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.requests import Request, ask, requests
from dacycle.cycler.cycle.states import Stage
from dacycle.errors import StateError
from tests.cycle.small_world import START, hours


def test_request_is_entered_beside_the_writer_and_read_back(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        assert ask(tmp_path, "hold", START, hours(1), by="anna") == 1
        assert ask(tmp_path, "rerun", hours(12), hours(2), stage="forecast") == 2
        assert ask(tmp_path, "rerun", hours(12), hours(2)) == 3
        assert [r.id for r in requests(ledger, waiting=True)] == [1, 2, 3]
    with History.read(tmp_path) as history:
        found = requests(history)
    assert [r.stage for r in found] == [Stage.INGEST, Stage.FORECAST, None]
    assert found[2] == Request(1, "hold", START, None, "anna", hours(1), None, "")


def test_what_cannot_be_asked_for_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"no ledger at .*: nothing has run"):
        ask(tmp_path, "hold", START, START)
    with pytest.raises(StateError, match="unknown request 'stop': expected one of hold, release, skip, rerun"):
        ask(tmp_path, "stop", START, START)  # type: ignore[arg-type]
    with pytest.raises(StateError, match="hold takes no stage, got 'ingest'"):
        ask(tmp_path, "hold", START, START, stage="ingest")
    with pytest.raises(
        StateError, match="a rerun cannot begin with 'publish': expected one of ingest, forecast, assim"
    ):
        ask(tmp_path, "rerun", START, START, stage="publish")
