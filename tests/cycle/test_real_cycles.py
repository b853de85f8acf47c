"""Real soundings through the real cycle, on the tiny bundle so that it is quick."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from dacycle.cycler.cycle.engine import open_engine, run_cycle
from dacycle.cycler.cycle.states import State
from dacycle.cycler.cycle.verify import verify_json
from dacycle.cycler.products.observations import read_observations
from tests.cycle.small_world import config

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_world_of_519_soundings(tmp_path: Path, real_data: Path, tiny_bundle_path: Path) -> None:
    time = datetime(2005, 8, 26, tzinfo=UTC)
    chosen = config(
        tmp_path,
        real_data / "igra-2005082600",
        tiny_bundle_path,
        cycle={"first": time},
        assimilation={"withhold_folds": 10},
    )
    with open_engine(chosen, NOW) as engine:
        record = engine.run(time, NOW)
        scores = verify_json(chosen, engine.ledger, time, time)["withheld"]
        counts = engine.ledger.counts(record.id)
    assert (record.state, record.soundings_received) == (State.PUBLISHED, 519)
    assert record.soundings_used >= 440
    assert 30 <= record.soundings_withheld <= 80
    batch = read_observations(chosen.paths.state / "products/2005/08/26/00/observations.nc").batch
    assert counts.total("used") + counts.total("withheld") + sum(counts.rejected.values()) == len(batch)
    for name in ("t500", "z500", "u500", "v500"):
        assert scores[name]["rmse_analysis"] < scores[name]["rmse_climatology"], name


def test_two_stations_cycle_for_days(tmp_path: Path, real_data: Path, tiny_bundle_path: Path) -> None:
    first = datetime(2016, 6, 1, tzinfo=UTC)
    chosen = config(tmp_path, real_data / "igra", tiny_bundle_path, cycle={"first": first}, ensemble={"members": 2})
    time, smaller = first, []
    with open_engine(chosen, NOW) as engine:
        for _ in range(6):
            record = engine.run(time, NOW)
            assert record.state == State.PUBLISHED
            statistics = engine.ledger.statistics(record.id)
            for name, background in statistics.omb.items():
                assert np.isfinite([background.bias, background.rms, statistics.oma[name].rms]).all()
                smaller.append(statistics.oma[name].rms < background.rms)
            time += chosen.interval
    assert len(smaller) > 20
    assert np.mean(smaller) > 0.6


def test_a_time_without_any_sounding_waits(tmp_path: Path, real_data: Path, tiny_bundle_path: Path) -> None:
    chosen = config(tmp_path, real_data / "igra-2005082600", tiny_bundle_path)
    record = run_cycle(chosen, datetime(2005, 9, 1, tzinfo=UTC), NOW)
    assert record.state == State.WAITING_OBS
