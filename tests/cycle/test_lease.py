"""Two machines on one state directory, where no file lock reaches from one to the other."""

import threading
from pathlib import Path

import pytest

from dacycle.cycler.cycle import lease
from dacycle.cycler.cycle.lease import leading, this_machine
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.states import Stream
from dacycle.errors import StateError
from tests.cycle.small_world import START


def test_leader_elsewhere_that_gives_signs_of_life_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    with Ledger.open(tmp_path) as first, Ledger.open(tmp_path) as second, leading(first, machine="one"):
        told = pytest.raises(StateError, match=r"is led by another dacycle \(process \d+ on .*\); one at a time")
        with told, leading(second, patience=5.0, machine="two"):
            pass
        first.add_cycle(START, Stream.DELAYED, START)


def test_silent_leader_elsewhere_is_replaced_and_writes_nothing_when_it_wakes(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as asleep, Ledger.open(tmp_path) as awake:
        asleep.lead("process 1 on one", "one")
        with leading(awake, patience=0.3, machine="two"):
            with pytest.raises(StateError, match=r"another dacycle took over .*: this one writes nothing any more"):
                asleep.add_cycle(START, Stream.DELAYED, START)
            awake.add_cycle(START, Stream.DELAYED, START)


def test_leader_of_this_machine_that_died_or_ended_is_followed_at_once(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as died:
        died.lead("process 1 here", this_machine())
    for machine in (this_machine(), "another"):
        with Ledger.open(tmp_path) as next_one, leading(next_one, patience=1000.0, machine=machine):
            next_one.add_cycle(START, Stream.DELAYED, START)


def test_beats_end_with_the_lead(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        with leading(ledger):
            assert "lease" in [thread.name for thread in threading.enumerate()]
        assert "lease" not in [thread.name for thread in threading.enumerate()]
