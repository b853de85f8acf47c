"""Who is listed, for how long, and that a cycle run again decides as it did."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from dacycle.cycler.cycle.blacklist import TERM, apply, decide
from dacycle.cycler.cycle.engine import run_cycle
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.records import Departure, Listing, StationRecord
from dacycle.cycler.cycle.states import Stream
from tests.cycle.small_world import config, hours, soundings
from tests.obs.batches import batch, codes

START = datetime(2021, 3, 1, tzinfo=UTC)
HALF = timedelta(hours=12)


def enter(ledger: Ledger, time: datetime, bias: dict[int, float], scatter: float = 1.0, stations: int = 30) -> None:
    """A cycle with ``stations`` stations in a row, each with a mean departure of its own."""
    records = []
    for k in range(stations):
        mean = bias.get(k, 0.1)
        departure = Departure(3, mean, float(np.hypot(mean, scatter if k == 5 else 1.0)))
        records.append(StationRecord(f"S{k:02d}", 0.0, 3.0 * k, 1, 3, 0, 0, {"t": departure}, {}))
    ledger.set_stations(ledger.add_cycle(time, Stream.DELAYED, time).id, records)


def names(found: list[Listing]) -> list[str]:
    return [listing.station for listing in found]


def test_a_biased_station_is_listed_and_a_biased_region_is_not(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        for k in range(10):
            enter(ledger, START + k * HALF, {20: 3.0})
        found, warning = decide(ledger, START + 10 * HALF)
        assert names(found) == ["S20"]
        assert warning == ""
        assert found[0].until == START + 10 * HALF + TERM
        assert found[0].reason == "bias of +2.9 expected errors against its neighbours"
        assert decide(ledger, START + 5 * HALF) == ([], "")  # too short a past
    with Ledger.open(tmp_path / "region") as ledger:
        for k in range(10):
            enter(ledger, START + k * HALF, dict.fromkeys(range(10, 30), 3.0))
        assert names(decide(ledger, START + 10 * HALF)[0]) == []


def test_a_scattering_station_is_listed(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        for k in range(10):
            enter(ledger, START + k * HALF, {}, scatter=3.5)
        (found,), _ = decide(ledger, START + 10 * HALF)
        assert (found.station, found.reason) == ("S05", "scatter of 3.5 expected errors")


def test_when_many_stand_out_the_background_is_at_fault(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        for k in range(10):
            enter(ledger, START + k * HALF, dict.fromkeys(range(0, 30, 6), 4.0))
        found, warning = decide(ledger, START + 10 * HALF)
        assert found == []
        assert warning.startswith("5 of 30 stations stand out in t")


def test_a_listing_ends_and_returns_only_with_its_cause(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        listed = []
        for k in range(80):
            time = START + k * HALF
            new, _ = decide(ledger, time)
            ledger.set_blacklist(time, new)
            listed.append(names(ledger.blacklist(time)) == ["S20"])
            enter(ledger, time, {20: 3.0 if k < 30 else 0.1})
        first = listed.index(True)
        assert first == 8
        # Listed anew at the end of the first term, for the fortnight's mean is still beyond the limit; then no more.
        assert listed == [first <= k < first + 40 for k in range(80)]
        again, _ = decide(ledger, START + first * HALF)
        assert names(again) == ["S20"]  # what came later does not change what was decided


def test_deciding_again_replaces(tmp_path: Path) -> None:
    with Ledger.open(tmp_path) as ledger:
        one = Listing("S01", "t", START, START + TERM, "why")
        ledger.set_blacklist(START, [one])
        ledger.set_blacklist(START, [one])
        assert ledger.blacklist(START) == [one]
        assert ledger.blacklist(START + TERM) == []
        assert ledger.blacklist(START - HALF) == []
        ledger.set_blacklist(START, [])
        assert ledger.blacklist(START) == []


def test_listed_values_are_set_aside_and_a_wind_as_a_whole() -> None:
    two = batch([{"t500": 260.0, "u500": 1.0, "v500": 2.0, "10u": 1.0}] * 2, stations=["A", "B"])
    listings = [Listing("A", variable, START, START + TERM, "") for variable in ("t", "u")]
    assert codes(apply(two, listings)) == ["blacklisted"] * 4 + ["assimilated"] * 4
    assert apply(two, []) is two


@pytest.mark.parametrize("heeded", [True, False])
def test_a_cycle_heeds_the_list_and_still_compares(tmp_path: Path, tiny_bundle_path: Path, heeded: bool) -> None:
    archive = soundings(tmp_path / "archive", [hours(0), hours(12)])
    chosen = config(tmp_path, archive, tiny_bundle_path, assimilation={"method": "oi"}, quality={"blacklist": heeded})
    run_cycle(chosen, hours(0), hours(100))
    with Ledger.open(chosen.paths.state) as ledger:
        ledger.set_blacklist(hours(6), [Listing("XXX00000003", "t", hours(6), hours(200), "test")])
    run_cycle(chosen, hours(12), hours(100))
    with Ledger.open(chosen.paths.state) as ledger:
        record = ledger.station_records("XXX00000003", hours(12), hours(12))[hours(12)]
        assert ledger.counts(ledger.cycles()[-1].id).total("blacklisted") == (2 if heeded else 0)
        assert record.omb["t"].n == 2
        assert ("t" in record.oma) != heeded
