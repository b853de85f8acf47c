"""Analyses of a bundle whose prior lives in control variables: soundings of one thing tell of the other."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.adapt import expected
from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.ageing import Age, aged
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.background import pad
from dacycle.cycler.assimilation.calibrated import calibrated
from dacycle.cycler.assimilation.climate import balance_of
from dacycle.cycler.assimilation.expectation import expectation
from dacycle.cycler.assimilation.fields import coarsen, observe
from dacycle.cycler.assimilation.model_term import ModelField
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.states import State
from tests.cycle.small_world import config, hours, soundings
from tests.obs.batches import at_places

TIME, NOW = datetime(2001, 8, 25, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)


def state(bundle: Bundle, seed: int = 5) -> np.ndarray:
    """A draw of the bundle's own Gaussian prior (channels, nlat, nlon)."""
    analyst = Analyst(bundle, Settings())
    _, drawn = analyst.prior.gaussian.sample(1, torch.Generator().manual_seed(seed))
    x = analyst.prior.anomalies(drawn, bundle)[0].numpy()
    return np.asarray(bundle.climatology.mean(TIME) + x * bundle.climatology.std, np.float32)


def left(bundle: Bundle, method: str, seen: list[str], asked: str) -> float:
    """Mean square error of ``asked``, over the climate's variance, where 60 places tell of ``seen``."""
    truth, rng = state(bundle), np.random.default_rng(1)
    lat, lon = np.rad2deg(np.arcsin(rng.uniform(-1, 1, 60))), rng.uniform(0, 360, 60)
    batch = at_places(TIME, seen, np.tile(lat, len(seen)), np.tile(lon, len(seen)))
    batch = replace(batch, value=observe(bundle, truth[None], batch)[0].astype(np.float64))
    members = Analyst(bundle, Settings(method)).draw(TIME, batch, None, range(1, 9), 0)
    k = bundle.index(asked)
    error = (members[:, k].mean(0) - truth[k]) / bundle.climatology.std[k]
    return float(bundle.grid.mean(np.square(error)))


@pytest.mark.parametrize("method", ["oi", "sda"])
def test_heights_tell_of_winds_and_winds_of_heights(balanced_bundle: Bundle, tiny_bundle: Bundle, method: str) -> None:
    for seen, asked in ((["z500"], "v500"), (["u500", "v500"], "z500")):
        # With the same covariances per degree, but no balance, the other channel is a stranger.
        assert left(balanced_bundle, method, seen, asked) < 0.85 * left(tiny_bundle, method, seen, asked)


def test_checks_and_adaptation_expect_the_same_of_a_forecast(balanced_bundle: Bundle) -> None:
    forecast = coarsen(balanced_bundle, np.stack([state(balanced_bundle, k) for k in (1, 2)]))
    analyst, batch = Analyst(balanced_bundle, Settings()), at_places(TIME, ["t500"], np.zeros(1), np.zeros(1))
    world = Adaptation.none(tuple(c.name for c in balanced_bundle.channels)).world(balanced_bundle)
    found = expected(world, analyst.prior, forecast, batch).numpy()
    field = balanced_bundle.climatology.mean(TIME) + found * balanced_bundle.climatology.std
    told = expectation(balanced_bundle, batch, forecast)
    np.testing.assert_allclose(told.mean, observe(balanced_bundle, field[None], batch)[0], rtol=1e-4)


def test_a_forecast_is_taken_for_what_its_regression_says(balanced_bundle: Bundle) -> None:
    """The same slope everywhere, as one, or as every node's: slope times the control variables."""
    balance = balance_of(balanced_bundle)
    assert balance is not None
    known = Analyst(balanced_bundle, Settings()).prior.gaussian
    degrees, channels = balanced_bundle.forecast_slope.shape[:2]
    a = torch.randn(1, channels, degrees**2, generator=torch.Generator().manual_seed(1))
    x = balance.state(known.synthesise(pad(a, known.harmonics.lmax**2)))[0]
    half = np.tile(0.5 * np.eye(channels, dtype=np.float32), (degrees, 1, 1))
    of_all = replace(balanced_bundle, forecast_slope=half, local_slope=None)
    torch.testing.assert_close(calibrated(of_all, balance, x), 0.5 * x, rtol=1e-3, atol=1e-3)
    of_nodes = replace(of_all, local_slope=np.stack([0.5 * half, 1.5 * half]))
    weights = torch.full((2, *balanced_bundle.grid.shape), 0.5)
    torch.testing.assert_close(calibrated(of_nodes, balance, x, weights), 0.5 * x, rtol=1e-3, atol=1e-3)


def test_an_old_forecast_is_unsure_in_both_kinds_of_variables(balanced_bundle: Bundle) -> None:
    old = aged(balanced_bundle, Age(72.0, 72.0))
    for name in ("forecast_error", "anomaly_error"):
        before, after = (getattr(each, name).trace(axis1=1, axis2=2) for each in (balanced_bundle, old))
        assert (after > before).all()
    assert not np.allclose(balanced_bundle.anomaly_error, balanced_bundle.forecast_error)


def test_another_models_wind_goes_without_where_its_height_is_missing(balanced_bundle: Bundle) -> None:
    analyst, fields = Analyst(balanced_bundle, Settings()), state(balanced_bundle)
    names = ["u500", "v500", "t500"]
    for given, kept in ((names, ["t500"]), ([*names, "z500"], [*names, "z500"])):
        index = tuple(balanced_bundle.index(name) for name in given)
        model = ModelField("model", index, fields[list(index)])
        placed, anomaly = analyst._placed(model, balanced_bundle, TIME)
        assert [balanced_bundle.channels[k].name for k in placed.index] == kept
        assert len(anomaly) == len(kept)


def test_a_cycle_goes_on_from_soundings_to_a_free_forecast(tmp_path: Path, balanced_bundle_path: Path) -> None:
    archive = soundings(tmp_path / "archive", [hours(0), hours(12), hours(24)])
    chosen = config(tmp_path, archive, balanced_bundle_path)
    with open_engine(chosen, NOW) as engine:
        records = [engine.run(hours(12 * k), NOW) for k in range(3)]
        assert [record.state for record in records] == [State.PUBLISHED] * 3
        for record in records[1:]:
            statistics = engine.ledger.statistics(record.id)
            assert statistics.oma["t500"].rms < statistics.omb["t500"].rms
        free = engine.run(hours(36), NOW, blind=True)
        assert free.state == State.PUBLISHED_FREE_FORECAST
