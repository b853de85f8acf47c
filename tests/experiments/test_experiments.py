"""Scores against closed forms; the twin, the comparison and the OSSE on the tiny bundle."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
from rich.console import Console

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import coarsen, lift, observe
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.experiments.comparison import CLIMATOLOGY, FREE_RUN, NO_LOOP, SOUNDINGS, Comparison, compare
from dacycle.cycler.experiments.meter import Meter
from dacycle.cycler.experiments.osse_scores import fair_crps
from dacycle.cycler.experiments.scores import mean_over, rmse, score_table
from dacycle.cycler.experiments.twin import cycle
from dacycle.cycler.products.truth import open_truth
from dacycle.emulators.emulator import Persistence
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import SourceError
from dacycle.obs.batch import ObservationBatch

START = datetime(2001, 8, 25, tzinfo=UTC)
TIMES = [START + k * timedelta(hours=12) for k in range(3)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_rmse_weighs_by_area() -> None:
    grid = gaussian_grid(16, 32)
    state = np.zeros((2, 16, 32), np.float32)
    state[0] = 3.0
    state[1] = np.sin(np.deg2rad(grid.lat))[:, None]
    np.testing.assert_allclose(rmse(grid, state, np.zeros_like(state)), [3.0, np.sqrt(1 / 3)], rtol=1e-5)
    np.testing.assert_allclose(mean_over([np.array([3.0]), np.array([4.0])]), [np.sqrt(12.5)])


def test_fair_crps_of_a_gaussian_ensemble_is_the_closed_form_for_any_size() -> None:
    """A reliable standard normal ensemble: E = 1 / sqrt(pi), whether it has 2 or 20 members."""
    rng = np.random.default_rng(0)
    for members in (2, 20):
        states = rng.normal(size=(members, 200_000)).astype(np.float32)
        exact = rng.normal(size=200_000).astype(np.float32)
        assert fair_crps(states, exact).mean() == pytest.approx(1 / np.sqrt(np.pi), abs=5e-3)
    assert fair_crps(np.full((1, 3), 2.0, np.float32), np.zeros(3, np.float32)).tolist() == [2.0, 2.0, 2.0]


def truth_and_batches(bundle: Bundle) -> tuple[np.ndarray, list[ObservationBatch]]:
    """A truth that stays as it is, so that persistence is the perfect emulator, and soundings of it."""
    rng = np.random.default_rng(3)
    analyst = Analyst(bundle, Settings())
    _, drawn = analyst.prior.gaussian.sample(1, torch.Generator().manual_seed(9))
    truth = (bundle.climatology.mean(START) + drawn[0].numpy() * bundle.climatology.std).astype(np.float32)
    batches = []
    for time in TIMES:
        n = 60
        index = rng.integers(0, len(bundle.channels), n)
        batch = ObservationBatch(
            analysis_time=time,
            channel=np.array([bundle.channels[k].name for k in index]),
            lat=rng.uniform(-88, 88, n),
            lon=rng.uniform(-180, 180, n),
            time=np.full(n, np.datetime64(time.replace(tzinfo=None), "s")),
            value=np.zeros(n),
            sigma=0.3 * bundle.climatology.std[index, 0, 0].astype(np.float64),
            elevation=np.zeros(n),
            station=np.full(n, "QQX00000001"),
            report=np.full(n, "r"),
            quality=np.zeros(n, np.int16),
        )
        value = observe(bundle, truth[None], batch)[0] + batch.sigma * rng.normal(size=n)
        batches.append(replace(batch, value=value))
    return truth, batches


def test_the_loop_learns_from_cycle_to_cycle(tiny_bundle: Bundle) -> None:
    truth, batches = truth_and_batches(tiny_bundle)
    emulator = Persistence(tiny_bundle.channels, tiny_bundle.coarse)
    analyst = Analyst(tiny_bundle, Settings("oi"))
    steps = list(cycle(analyst, emulator, batches, 16, 0))
    assert [step.time for step in steps] == TIMES
    assert steps[0].forecast is None
    scale = tiny_bundle.climatology.std
    errors = [np.sqrt(np.mean(((step.states.mean(0) - truth) / scale) ** 2)) for step in steps]
    assert errors[2] < errors[1] < errors[0]


def test_without_reinitialisation_the_emulator_runs_on_freely(tiny_bundle: Bundle) -> None:
    _, batches = truth_and_batches(tiny_bundle)
    emulator = Persistence(tiny_bundle.channels, tiny_bundle.coarse)
    steps = list(cycle(Analyst(tiny_bundle, Settings("oi")), emulator, batches, 2, 0, reinitialise=False))
    assert steps[1].forecast is not None
    assert steps[2].forecast is not None
    np.testing.assert_array_equal(steps[1].forecast, steps[2].forecast)


def test_the_comparison_scores_every_column_at_every_time_after_the_first(tiny_bundle: Bundle) -> None:
    truth, batches = truth_and_batches(tiny_bundle)
    analyst = Analyst(tiny_bundle, Settings("oi"))
    first = analyst.draw(START, batches[0], None, range(1, 9), 0)
    emulator = Persistence(tiny_bundle.channels, tiny_bundle.coarse)
    told: list[str] = []
    columns = compare(Comparison(analyst, emulator, first, batches, lambda batch: truth, 8, 0), told.append)
    assert set(columns) == {CLIMATOLOGY, FREE_RUN, SOUNDINGS, NO_LOOP}
    assert all(np.shape(errors) == (2, 17) for errors in columns.values())
    assert len(told) == 8
    climatology = rmse(tiny_bundle.grid, tiny_bundle.climatology.mean(TIMES[1]), truth)
    np.testing.assert_allclose(columns[CLIMATOLOGY][0], climatology)
    # The truth stands still and the emulator with it: the free run keeps the first analysis's error, truncated.
    np.testing.assert_allclose(columns[FREE_RUN][0], columns[FREE_RUN][1], rtol=1e-4)
    kept = rmse(tiny_bundle.grid, lift(tiny_bundle, coarsen(tiny_bundle, first).mean(0), TIMES[1]), truth)
    np.testing.assert_allclose(columns[FREE_RUN][0], kept, rtol=1e-4)
    assert (columns[NO_LOOP][1] < columns[CLIMATOLOGY][1]).sum() > 12


def test_the_table_marks_the_best_column() -> None:
    columns = {"a": np.full(17, 2.0), "b": np.array([1.0] * 16 + [300.0])}
    console = Console(width=120, file=None, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(score_table("title", DEFAULT_CHANNELS, columns))
    lines = capture.get().splitlines()
    row = next(line for line in lines if "z250" in line)
    assert "2*" in row
    assert "300" in row
    assert "1*" in next(line for line in lines if "2t" in line)


def test_truth_is_read_by_time_and_missing_times_are_told(tmp_path: Path) -> None:
    path = tmp_path / "truth.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 1), ("lat", 2), ("lon", 3)):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = 12.0
        file["time"].units = "hours since 2001-08-25 00:00:00"
        file.createVariable("t850", "f4", ("time", "lat", "lon"))[:] = 280.0
    truth = open_truth(path)
    assert truth.times == (datetime(2001, 8, 25, 12, tzinfo=UTC),)
    t850 = next(c for c in DEFAULT_CHANNELS if c.name == "t850")
    assert truth.read([t850], truth.times[0]).tolist() == [[[280.0] * 3] * 2]
    with pytest.raises(SourceError, match="no truth at 2001-08-25T00; it has 2001-08-25T12"):
        truth.read([t850], START)
    with pytest.raises(SourceError, match="lacks the channels u850"):
        truth.read([replace(t850, name="u850", netcdf_name="u850")], truth.times[0])
    (tmp_path / "bad.nc").write_text("no")
    with pytest.raises(SourceError, match="expected gridded truth"):
        open_truth(tmp_path / "bad.nc")


def test_off_the_terminal_progress_is_plain_lines() -> None:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture, Meter(console, total=10) as meter:
        meter.say("drawing")
        meter.advance(5)
    assert capture.get().splitlines() == ["  0 %  drawing"]
