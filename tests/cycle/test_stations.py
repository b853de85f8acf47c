"""The stations' history: what a cycle enters, and what readers make of a month of it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from dacycle.cycler.cycle.arrivals import Arrived, arrivals, as_json, from_json, late
from dacycle.cycler.cycle.engine import run_cycle
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.records import Departure, StationRecord
from dacycle.cycler.cycle.states import State, Stream
from dacycle.cycler.cycle.stations import station_records, station_series, stations
from dacycle.obs.batch import Quality
from dacycle.obs.igra.format import parse
from tests.cycle.small_world import STATIONS, config, hours, soundings
from tests.obs.batches import batch
from tests.obs.igra_text import Level, sounding

TIME = datetime(2021, 3, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path) as opened:
        yield opened


def publish(ledger: Ledger, time: datetime, records: list[StationRecord]) -> int:
    record = ledger.add_cycle(time, Stream.DELAYED, time)
    for state in (State.INGESTING, State.FORECASTING, State.ASSIMILATING, State.REINITIALISING, State.PUBLISHING):
        ledger.move(record.id, state, time)
    ledger.set_stations(record.id, records)
    ledger.move(record.id, State.PUBLISHED, time)
    return record.id


def entry(station: str, mean: float = 0.5, received: int = 1) -> StationRecord:
    return StationRecord(station, 1.0, 2.0, received, 5, 1, 2, {"t": Departure(3, mean, 1.0)}, {})


def test_departures_are_in_units_of_the_expected_error() -> None:
    two = batch([{"t500": 262.0, "u500": 3.0}, {"t500": 260.0}], stations=["AAM00000001", "AAM00000002"])
    background = np.array([[259.0, 0.0, 260.0], [261.0, 0.0, 260.0]])
    arrived = tuple(Arrived(f"AAM0000000{k} x", "", 1.0, 2.0) for k in (1, 2, 3))
    first, second, third = station_records(two, arrived, background, background)
    # Two members, spread^2 = 2, three halves of it beside an error of 0.9 K.
    expected = 2.0 / np.sqrt(0.9**2 + 3.0)
    assert first.omb["t"].n == 1
    assert first.omb["t"].bias == pytest.approx(expected)
    assert first.omb["t"].rms == pytest.approx(expected)
    assert first.oma["t"].bias == pytest.approx(2.0 / 0.9)
    assert (second.omb["t"].bias, second.used) == (0.0, 1)
    assert (third.received, third.used, third.omb) == (1, 0, {})  # a sounding without a value of ours


def test_rejected_values_stay_visible_and_no_single_one_drowns_the_others() -> None:
    codes = np.array([Quality.BACKGROUND, Quality.GROSS, Quality.EVALUATED_ONLY, Quality.ASSIMILATED], np.int16)
    one = batch([{"t850": 500.0, "t500": 260.0, "t250": 220.0, "u250": 1.0}])
    one = replace(one, quality=codes)
    zeros = np.zeros((1, 4))
    (record,) = station_records(one, (Arrived(f"{one.station[0]} x", "", None, None),), zeros, zeros)
    assert (record.used, record.withheld, record.rejected) == (1, 1, 2)
    assert record.omb["t"] == Departure(2, 10.0, 10.0)
    assert set(record.oma) == {"u"}
    (record,) = station_records(one, (Arrived(f"{one.station[0]} x", "", None, None),), None, zeros)
    assert record.omb == {}


def test_a_month_is_summed_up_by_station(ledger: Ledger, tmp_path: Path) -> None:
    for k in range(10):
        day, night = TIME + timedelta(days=k), TIME + timedelta(days=k, hours=12)
        publish(ledger, day, [entry("A", mean=float(k)), entry("B")] if k >= 2 else [entry("A", mean=float(k))])
        publish(ledger, night, [entry("B")] if k == 5 else [])
    with History.read(tmp_path) as history:
        a, b = stations(history, 30, TIME + timedelta(days=99))
        assert (a.station, a.received, a.expected) == ("A", 10, 10)  # it never reports at 12
        assert (a.used, a.withheld, a.rejected) == (50, 10, 20)
        assert a.omb["t"].n == 30
        assert a.omb["t"].bias == pytest.approx(4.5)
        assert a.last == TIME + timedelta(days=9)
        assert (b.received, b.expected) == (9, 16)  # from its first sounding, at both hours
        assert [s.received for s in stations(history, 2, TIME + timedelta(days=99))] == [2, 2]
        assert [s.station for s in stations(history, 30, TIME)] == ["A"]
        series = station_series(history, "B", 30, TIME + timedelta(days=99))
        assert len(series) == 20
        assert [point.time for point in series if point.record] == [
            *(TIME + timedelta(days=k) for k in range(2, 6)),
            TIME + timedelta(days=5, hours=12),
            *(TIME + timedelta(days=k) for k in range(6, 10)),
        ]
        assert series[4].record == entry("B")


def test_what_is_older_than_two_months_goes(ledger: Ledger) -> None:
    old = publish(ledger, TIME, [entry("A")])
    publish(ledger, TIME + timedelta(days=59), [entry("A")])
    assert ledger.query("SELECT count(*) AS n FROM station_history WHERE cycle = ?", old)[0]["n"] == 1
    publish(ledger, TIME + timedelta(days=61), [entry("A")])
    for table in ("station_history", "station_departures"):
        assert ledger.query(f"SELECT count(*) AS n FROM {table} WHERE cycle = ?", old)[0]["n"] == 0


def test_an_empty_ledger_has_no_stations(ledger: Ledger) -> None:
    assert stations(ledger, 30, TIME) == []
    assert station_series(ledger, "A", 30, TIME) == []


def test_a_cycle_enters_its_stations(tmp_path: Path, tiny_bundle_path: Path) -> None:
    archive = soundings(tmp_path / "archive", [hours(0), hours(12)])
    chosen = config(tmp_path, archive, tiny_bundle_path, assimilation={"method": "oi"})
    for time in (hours(0), hours(12)):
        run_cycle(chosen, time, hours(100))
    with History.read(chosen.paths.state) as history:
        found = stations(history, 30, hours(12))
        counts = [history.counts(record.id) for record in history.cycles()]
        assert [s.station for s in found] == sorted(STATIONS)
        assert all((s.received, s.expected, s.last) == (2, 2, hours(12)) for s in found)
        assert sum(s.used for s in found) == sum(c.total("used") for c in counts)
        assert sum(s.rejected for s in found) == sum(sum(c.rejected.values()) for c in counts)
        assert (found[0].lat, found[0].lon) == STATIONS[found[0].station]
        first, second = station_series(history, found[0].station, 30, hours(12))
        assert first.record is not None
        assert second.record is not None
        assert (first.record.omb, set(second.record.omb)) == ({}, {"t", "u", "v", "z"})
        assert all(s.omb["t"].rms > 0 for s in found)


def test_late_and_revised_soundings_are_told_by_content() -> None:
    def keys(*temps: int) -> dict[str, str]:
        text = "".join(sounding(Level(temp=t), station=f"AAM0000000{k}") for k, t in enumerate(temps))
        found = parse(text.encode(), "f")
        return {a.key: f"{t}" for a, t in zip(arrivals(found), temps, strict=True)}

    assert late(keys(1, 2, 3), keys(1, 2, 3)).fraction == 0
    told = late(keys(1, 2, 3, 4), keys(1, 5, 3, 4, 6))
    assert (told.before, told.new, told.revised, told.gone, told.fraction) == (4, 1, 1, 0, 0.5)
    assert late(keys(1, 2), keys(1)).gone == 1
    assert late({}, {}).fraction == 0
    assert late({}, keys(1)).fraction == float("inf")


def test_arrivals_survive_json() -> None:
    text = sounding(Level(temp=1)) + sounding(station="AAM00000001", lat=-9999, lon=-9999)
    arrived = arrivals(parse(text.encode(), "f"))
    assert [(a.station, a.lat) for a in arrived] == [("AAM00000001", None), ("USM00072403", 38.9767)]
    assert from_json(as_json(arrived)) == arrived
