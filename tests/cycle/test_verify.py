"""Scores of whole cycles, at withheld stations and against a truth that is known."""

from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.verify import verify, verify_json
from dacycle.errors import DacycleError
from tests.cycle.small_world import config, hours, soundings

NOW = datetime(2021, 3, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def cycled(tmp_path_factory: pytest.TempPathFactory, tiny_bundle_path: Path) -> Config:
    """Two published cycles with withheld stations, and a free forecast."""
    root = tmp_path_factory.mktemp("verify")
    archive = soundings(root / "archive", [hours(0), hours(12)])
    chosen = config(root, archive, tiny_bundle_path, assimilation={"withhold_folds": 3})
    with open_engine(chosen, NOW) as engine:
        for hour in (0, 12, 24):
            engine.run(hours(hour), NOW)
    return chosen


def write_truth(path: Path, bundle: Bundle, states: dict[int, np.ndarray]) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", len(states)), ("lat", bundle.grid.shape[0]), ("lon", bundle.grid.shape[1])):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "hours since 2021-03-01 00:00:00"
        time[:] = list(states)
        for k, channel in enumerate(bundle.channels):
            variable = file.createVariable(channel.netcdf_name, "f4", ("time", "lat", "lon"))
            variable[:] = np.stack([state[k] for state in states.values()])
    return path


def test_withheld_scores_are_those_of_the_observation_files(cycled: Config) -> None:
    from dacycle.cycler.products.observations import read_observations

    with History.read(cycled.paths.state) as history:
        told = verify_json(cycled, history, hours(0), hours(24))
    tables = [
        read_observations(cycled.paths.state / f"products/2021/03/01/{hour}/observations.nc") for hour in ("00", "12")
    ]
    value, analysis, spread = (
        np.concatenate(
            [getattr(t.batch if name == "value" else t, name)[t.withheld & (t.batch.channel == "z500")] for t in tables]
        )
        for name in ("value", "analysis_mean", "analysis_spread")
    )
    second = tables[1]
    rows = second.withheld & (second.batch.channel == "z500")
    scores = told["withheld"]["z500"]
    assert scores["n"] == len(value)
    assert scores["rmse_analysis"] == pytest.approx(np.sqrt(((analysis - value) ** 2).mean()), rel=1e-5)
    assert scores["spread"] == pytest.approx(np.sqrt((spread**2).mean()), rel=1e-4)
    background = np.sqrt(((second.background_mean[rows] - second.batch.value[rows]) ** 2).mean())
    assert scores["rmse_background"] == pytest.approx(background, rel=1e-5)  # the first cycle has none
    assert sum(told["rank_histogram"]["z500"]) == len(value)
    assert told["truth"] is None


def test_climatology_as_truth_has_no_error_of_climatology(cycled: Config, tiny_bundle: Bundle, tmp_path: Path) -> None:
    states = {hour: tiny_bundle.climatology.mean(hours(hour)) for hour in (0, 12, 24)}
    path = write_truth(tmp_path / "truth.nc", tiny_bundle, states)
    with History.read(cycled.paths.state) as history:
        told = verify_json(cycled, history, hours(0), hours(24), path)["truth"]
        last = verify_json(cycled, history, hours(24), hours(24), path)["truth"]
    assert told["t850"]["n"] == 3 * 16 * 32
    for name, scores in told.items():
        assert scores["rmse_climatology"] == pytest.approx(0.0, abs=1e-6), name
        assert scores["rmse_analysis"] > 0
        assert scores["crps_analysis"] > 0
    # What a free forecast publishes is its background, lifted: rounding in the product aside, the same scores.
    for name, scores in last.items():
        assert scores["rmse_analysis"] == pytest.approx(scores["rmse_background"], rel=0.02), name


def test_what_cannot_be_verified_is_told(cycled: Config, tiny_bundle: Bundle, tmp_path: Path) -> None:
    with History.read(cycled.paths.state) as history:
        with pytest.raises(DacycleError, match="no published cycle from 2022"):
            verify_json(cycled, history, hours(24 * 365), hours(24 * 366))
        path = write_truth(tmp_path / "late.nc", tiny_bundle, {240: tiny_bundle.climatology.mean(hours(240))})
        with pytest.raises(DacycleError, match="no truth at any of the 3 published times"):
            verify_json(cycled, history, hours(0), hours(24), path)
    plain = cycled.model_copy(update={"paths": cycled.paths})
    with pytest.raises(DacycleError, match="nothing to verify against"):
        verify(plain, hours(24), hours(24), None, as_json=False)
