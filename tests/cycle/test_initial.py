"""The first cycle starts from a field file: our own product, or a real file of another centre."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine, run_cycle
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.initial import open_initial, to_analysis_grid
from dacycle.cycler.cycle.models import Models
from dacycle.cycler.cycle.states import State
from dacycle.cycler.cycle.task import FORECAST, INITIAL, Task
from dacycle.cycler.cycle.workspace import Kept
from dacycle.cycler.products.fields import read_fields
from dacycle.cycler.products.manifest import read_manifest
from dacycle.errors import ProductError
from tests.cycle.small_world import START, config, hours, soundings

NOW = datetime(2021, 3, 20, tzinfo=UTC)
PACKING = {"t": 0.01, "u": 0.01, "v": 0.01, "q": 1e-6, "sp": 1.0, "z": 0.1}
Make = Callable[..., Config]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return soundings(tmp_path_factory.mktemp("source"), [hours(0), hours(12)])


@pytest.fixture
def make(tmp_path: Path, source: Path, tiny_bundle_path: Path) -> Make:
    def made(name: str, **changes: dict[str, Any]) -> Config:
        return config(tmp_path / name, source, tiny_bundle_path, **changes)

    return made


def kept(chosen: Config, name: str) -> np.ndarray:
    with History.read(chosen.paths.state) as history:
        return np.asarray(Kept(chosen.paths.state, history, history.cycles()[-1]).array(name))


def test_our_own_product_fed_back_is_the_state_within_packing_error(make: Make, tiny_bundle: Bundle) -> None:
    first = make("first", products={"formats": ["grib2", "netcdf"]})
    run_cycle(first, START, NOW)
    truth = kept(first, INITIAL)
    for name in ("analysis_members.grib2", "analysis.nc"):
        path = first.paths.state / "products/2021/03/01/00" / name
        again = make(name.replace(".", "_"), cycle={"first": hours(12), "initial": path})
        record = run_cycle(again, hours(12), NOW)
        assert (record.state, record.background) == (State.PUBLISHED, "forecast")
        background = kept(again, FORECAST)  # of the tiny bundle's persistence
        for k, c in enumerate(tiny_bundle.channels):
            assert np.abs(background[:, k] - truth[:, k]).max() <= PACKING[c.variable], (name, c.name)
        manifest = read_manifest(again.paths.state / "products/2021/03/01/12")
        assert manifest is not None
        assert f"initial field {name}" in manifest.inputs
        with open_engine(again, NOW) as engine:  # the second cycle goes on from the first, not from the file
            second = engine.run(hours(24), NOW)
        assert second.base == record.id


def test_a_field_that_the_emulator_cannot_reach_the_cycle_from_is_refused(make: Make) -> None:
    first = make("first")
    run_cycle(first, START, NOW)
    path = first.paths.state / "products/2021/03/01/00/analysis.nc"
    with pytest.raises(ProductError, match=r"expected fields valid whole steps of 6 hours and at most 5 days before"):
        run_cycle(make("late", cycle={"first": hours(240), "initial": path}), hours(240), NOW)


def test_the_real_gfs_file_gives_all_channels_of_the_state(real_data: Path, make: Make, tiny_bundle: Bundle) -> None:
    """Multi-field messages (v and 10v), relative humidity for specific, and another model's ground."""
    path, time = real_data / "model" / "gfs-2011100800-f072.grb", datetime(2011, 10, 11, tzinfo=UTC)
    fields = read_fields(path, tiny_bundle.channels)
    assert fields.time == time
    assert fields.values.shape == (1, 17, 73, 144)
    assert fields.orography is not None
    at = {c.name: fields.values[0, k] for k, c in enumerate(fields.channels)}
    # Row 20 is 40 N, column 30 is 75 E; what grib_get says of these messages there.
    assert (fields.lat[20], fields.lon[30]) == (40.0, 75.0)
    said = {"2t": 272.5, "10v": -1.68, "sp": 67153.4, "v250": -4.7, "z500": 5795.47, "t850": 286.3}
    for name, value in said.items():
        assert at[name][20, 30] == pytest.approx(value, rel=1e-6), name
    assert 0 <= at["q850"].min() < 1e-4
    assert 0.012 < at["q850"].max() < 0.025
    on_grid = to_analysis_grid(fields, tiny_bundle)
    sp = on_grid[0, tiny_bundle.index("sp")]
    ground = tiny_bundle.orography
    low, high = sp[ground < 1].mean(), sp[ground > 600].mean()
    assert 98000 < low < 102500, "over the sea the pressure is that at sea level"
    assert 89000 < high < 95500, "and it falls with the bundle's ground, not with the file's"
    record = run_cycle(make("gfs", cycle={"first": time, "initial": path}), time, NOW)
    assert (record.state, record.background) == (State.PUBLISHED_FREE_FORECAST, "forecast")


def test_the_real_era5_ensemble_gives_ten_members_and_the_prior_fills_the_rest(
    real_data: Path, make: Make, tiny_bundle: Bundle
) -> None:
    path, time = real_data / "model" / "era5-eda-members-20170101.grib", datetime(2017, 1, 2, 6, tzinfo=UTC)
    initial = open_initial(path, tiny_bundle, time)
    assert initial.time == datetime(2017, 1, 2, 0, tzinfo=UTC), "the newest of the file's times before the cycle"
    fields = read_fields(path, tiny_bundle.channels, initial.time, complete=False)
    assert [c.name for c in fields.channels] == ["t850", "z850", "t500", "z500"]
    assert fields.values.shape == (10, 4, 61, 120)
    chosen = make("era5")
    task = cast(Task, SimpleNamespace(bundle=tiny_bundle, models=Models(chosen, tiny_bundle)))
    states = initial.states(task)
    assert states.shape == (10, 17, 8, 16)
    mean = fields.values.mean((0, 2, 3))
    for name, expected in zip(("t850", "z850", "t500", "z500"), mean, strict=True):
        assert abs(states[:, tiny_bundle.index(name)].mean() / expected - 1) < 0.05, name
    anomaly = states - tiny_bundle.climatology.mean(initial.time)[:, :1, :1]
    t, u, far = (anomaly[:, tiny_bundle.index(name)].ravel() for name in ("t850", "u850", "2t"))
    # The tiny bundle's channels correlate by 0.6 to the power of their distance.
    assert np.corrcoef(t, u)[0, 1] > 0.3
    assert np.abs(far).max() < np.abs(t).max()


def test_missing_channels_are_what_the_prior_expects(tmp_path: Path, make: Make, tiny_bundle: Bundle) -> None:
    """One channel known, smooth: each other one follows by its correlation, 0.6 ** distance: the closed form."""
    from dacycle.cycler.cycle.initial import _completed

    grid, k = tiny_bundle.grid, tiny_bundle.index("t850")
    wave = np.cos(np.deg2rad(grid.lat))[:, None] * np.cos(np.deg2rad(grid.lon))[None]
    mean, std = tiny_bundle.climatology.mean(START), tiny_bundle.climatology.std
    known = (mean[k] + std[k] * 2 * wave)[None, None].astype(np.float32)
    task = cast(Task, SimpleNamespace(bundle=tiny_bundle, models=Models(make("x"), tiny_bundle)))
    states = _completed(task, known, [k], START)
    np.testing.assert_allclose(states[0, k], known[0, 0], rtol=1e-6)
    for other in range(len(tiny_bundle.channels)):
        if other != k:
            expected = 0.6 ** abs(other - k) * 2 * wave
            got = (states[0, other] - mean[other]) / std[other]
            assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max() + 5e-4
