"""Rank histograms against what must come out, increments there and back, and a period with an end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dacycle.cycler.config_file import load_config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.increment import INCREMENT, packed, unpacked
from dacycle.cycler.cycle.owed import complete, next_due
from dacycle.cycler.cycle.ranks import rank_counts, rank_histogram
from dacycle.cycler.cycle.states import State
from dacycle.cycler.cycle.workspace import Kept
from dacycle.cycler.products.fields import read_fields
from dacycle.cycler.service.worker import Worker
from dacycle.errors import ConfigError
from dacycle.obs.batch import Quality
from tests.cycle.small_world import START, config, hours, soundings
from tests.obs.batches import batch


def test_a_calibrated_background_has_a_flat_histogram_and_a_narrow_one_a_u() -> None:
    n, members, sigma = 6000, 4, 0.9
    one = batch([{"t500": 260.0}] * n, stations=[f"AAM{k:08d}" for k in range(n)])
    rng = np.random.default_rng(1)
    truth = rng.normal(260, 3, n)
    one = replace(one, value=truth + rng.normal(0, 1, n) * one.sigma)
    assert one.sigma == pytest.approx(sigma)
    centre = truth + rng.normal(0, 2, n)
    calibrated = centre + rng.normal(0, 2, (members, n))
    counts = np.array(rank_counts(one, calibrated, seed=0)["t500"])
    assert counts.sum() == n
    # Each count is binomial: n/5 +- sqrt(n 4/25) = 1200 +- 31.
    assert (np.abs(counts - n / 5) < 5 * np.sqrt(n * 4 / 25)).all()
    narrow = np.array(rank_counts(one, centre + rng.normal(0, 0.2, (members, n)), seed=0)["t500"])
    assert min(narrow[0], narrow[-1]) > 2 * narrow[1:-1].max()


def test_only_used_values_are_ranked_and_one_member_has_no_ranks() -> None:
    two = batch([{"t500": 260.0, "u500": 3.0}])
    two = replace(two, quality=np.array([Quality.ASSIMILATED, Quality.BACKGROUND], np.int16))
    below = np.full((3, 2), -1e6)
    assert rank_counts(two, below, 0) == {"t500": [0, 0, 0, 1]}
    assert rank_counts(two, -below, 0) == {"t500": [1, 0, 0, 0]}
    assert rank_counts(two, below[:1], 0) == {}


def test_increments_come_back_to_sixteen_bits() -> None:
    field = np.random.default_rng(0).normal(0, [[[1.0]], [[1e-4]], [[0.0]]], (3, 4, 8)).astype(np.float32)
    kept = packed(field)
    for k in range(3):
        largest = float(np.abs(field[k]).max())
        np.testing.assert_allclose(unpacked(kept, k), field[k], atol=max(largest / 65534, 1e-30) * 1.01, rtol=0)


def test_a_cycle_keeps_ranks_and_the_increment_and_a_period_ends(tmp_path: Path, tiny_bundle_path: Path) -> None:
    archive = soundings(tmp_path / "archive", [hours(0), hours(12), hours(24)])
    cycle = {"first": START, "last": hours(12), "cutoff_hours": 12, "early_stream": False}
    chosen = config(tmp_path, archive, tiny_bundle_path, cycle=cycle)
    much_later = hours(24 * 300)
    with open_engine(chosen, hours(30)) as engine:
        assert not complete(engine.ledger, chosen)
        Worker(engine, lambda: hours(30)).work()
        Worker(engine, lambda: much_later).work()
        # Nothing is owed after the last, and nothing expires, however late it is.
        assert [r.state for r in engine.ledger.cycles()] == [State.PUBLISHED, State.PUBLISHED]
        assert complete(engine.ledger, chosen)
        assert next_due(engine.ledger, chosen) is None
        second = engine.ledger.cycles()[-1]
        bundle = engine.bundle
    with History.read(chosen.paths.state) as history:
        ranks = rank_histogram(history, hours(0), hours(12))
        assert {len(counts) for counts in ranks.values()} == {chosen.ensemble.members + 1}
        used = history.counts(second.id)
        assert {name: sum(counts) for name, counts in ranks.items()} == {
            name: by_status["used"] for name, by_status in used.values.items() if by_status.get("used")
        }
        assert rank_histogram(history, hours(0), hours(0)) == {}  # a first cycle has no background
        increments = Kept(chosen.paths.state, history, second).arrays(INCREMENT)
    analysis = read_fields(tmp_path / "state/products/2021/03/01/12/analysis.nc", bundle.channels).values.mean(0)
    change = unpacked(increments, bundle.index("t500"))
    assert change.shape == bundle.grid.shape
    assert 0.01 < np.abs(change).max() < np.abs(analysis[bundle.index("t500")]).max() / 5


def test_a_period_cannot_end_before_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[cycle]\nfirst = 2021-03-02T00:00:00Z\nlast = 2021-03-01T00:00:00Z\n")
    with pytest.raises(ConfigError, match="expected first <= last, got 2021-03-02T00 > 2021-03-01T00"):
        load_config(path, {})
