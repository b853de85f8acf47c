"""A forecast that lost the world is caught before it can reject the soundings that would bring it back."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.cycle.divergence import distrust, diverged
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.states import State
from dacycle.cycler.cycle.task import INITIAL
from dacycle.cycler.cycle.workspace import Workspace
from tests.cycle.small_world import START, config, hours, soundings
from tests.obs.batches import at_places

NOW = datetime(2026, 11, 20, tzinfo=UTC)
RNG = np.random.default_rng(0)
N = 200


def case(error: float, share: float = 1.0):  # type: ignore[no-untyped-def]
    """t500 with sigma from the table, a background of 8 members with spread 1 and this error at a share of places."""
    batch = at_places(START, ["t500"], RNG.uniform(-80, 80, N), RNG.uniform(0, 360, N))
    true = 250 + RNG.normal(size=N)
    centre = true + np.where(np.arange(N) < share * N, error, 0.0) + RNG.normal(size=N)
    background = centre + RNG.normal(size=(8, N))
    value = true + batch.sigma * RNG.normal(size=N)
    return replace(batch, value=value), background.mean(0), background.std(0, ddof=1)


def test_a_forecast_that_knows_its_error_is_believed() -> None:
    assert diverged(*case(0.0), 4.0) is None


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_one_that_does_not_is_found_out_and_its_contradictors_are_kept(share: float) -> None:
    batch, background, spread = case(12.0, share)
    found = diverged(batch, background, spread, 4.0)
    assert found is not None
    assert "t500" in str(found)
    kept = np.abs(batch.value - background) < 4 * np.hypot(batch.sigma, spread * found.inflation)
    assert kept[: int(share * N)].mean() > 0.9


def test_a_single_bad_station_does_not_accuse_the_forecast() -> None:
    batch, background, spread = case(0.0)
    value = batch.value.copy()
    value[3] += 60.0
    assert diverged(replace(batch, value=value), background, spread, 4.0) is None


def test_distrust_raises_the_error_within_bounds_and_forgets_what_was_sure() -> None:
    known = Adaptation.ignorant(("t500",))
    known = replace(known, information=known.information * 1000)
    found = diverged(*case(12.0), 4.0)
    assert found is not None
    after = distrust(known, found)
    assert 1.0 < after.factor("forecast")[0] <= 9.0 + 1e-9
    assert after.information[0, 2, 2] < 10


def test_a_cycle_recovers_from_a_diverged_state(tmp_path: Path, tiny_bundle_path: Path) -> None:
    """The members of a cycle are put 40 K too warm at 500 hPa, with their small spread; the next cycles say so and
    come back to what the soundings tell."""
    archive = soundings(tmp_path / "archive", [hours(12 * k) for k in range(4)])
    rows: dict[str, list[float]] = {}
    chosen = config(tmp_path, archive, tiny_bundle_path)
    with open_engine(chosen, NOW) as engine:
        first = engine.run(START, NOW)
        work: Workspace = engine.workspace(first)
        states = work.array(INITIAL)
        k = [c.name for c in engine.bundle.channels].index("t500")
        states[:, k] = states[:, k].mean(0) + 40.0 + 0.1 * (states[:, k] - states[:, k].mean(0))
        work.keep_array("reinitialise", INITIAL, states)  # type: ignore[arg-type]
        for step in (12, 24, 36):
            record = engine.run(hours(step), NOW)
            rows.setdefault("omb", []).append(abs(engine.ledger.statistics(record.id).omb["t500"].bias))
            assert record.state == State.PUBLISHED
        told = [event.text for event in engine.ledger.events() if "contradicts the soundings" in event.text]
        rejected = engine.ledger.counts(record.id).rejected.get("background", 0)
    assert told
    assert "t500" in told[-1]
    assert rows["omb"][0] > 30
    assert rows["omb"][-1] < 8
    assert rejected < 10
