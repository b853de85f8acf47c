"""Export and archive: the same values as the products, in every format, for a region, and across reruns."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import eccodes
import netCDF4
import numpy as np
import pytest
import xarray as xr

from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.states import Stream
from dacycle.cycler.main import main
from dacycle.cycler.products.archive import open_archive, update
from dacycle.cycler.products.catalogue import lying
from dacycle.cycler.products.ensemble import Ensemble
from dacycle.cycler.products.export import Request, export
from dacycle.cycler.products.folders import product_folder
from dacycle.cycler.products.pieces import Region
from dacycle.cycler.products.publish import publish
from dacycle.errors import ProductError
from tests.cycle.small_world import config as config_of
from tests.cycle.small_world import hours, soundings
from tests.products.samples import TIME, ensemble, request
from tests.tools import require_module, require_tool

NOW = datetime(2021, 3, 20, tzinfo=UTC)
TIMES = [TIME + timedelta(hours=12 * k) for k in range(4)]


def cycle(k: int, seed: int | None = None) -> Ensemble:
    """An analysis at the k-th time; the third is a forecast from the second."""
    made = ensemble(seed=k if seed is None else seed)
    start, hours = (TIMES[1], 12) if k == 2 else (TIMES[k], None)
    return Ensemble(made.states, made.channels, made.grid, start, hours)


def put(state: Path, k: int, seed: int | None = None) -> None:
    made = cycle(k, seed)
    content = {"analysis": None, "forecasts": (made,)} if made.hours else {"analysis": made}
    publish(product_folder(state, TIMES[k]), request(time=TIMES[k], observations=None, **content))
    with Ledger.open(state) as ledger:
        ledger.enter_products(TIMES[k], Stream.DELAYED, lying(state, TIMES[k], "delayed"))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("state")
    for k in range(4):
        put(state, k)
    return state


@pytest.fixture
def config(state: Path, tmp_path: Path) -> str:
    (tmp_path / "dacycle.toml").write_text(f'[paths]\nstate = "{state}"\n')
    return str(tmp_path / "dacycle.toml")


def run(*arguments: str | Path) -> int:
    return main(["export", "2005-08-26T00", "2005-08-27T12", *map(str, arguments)])


def check(dataset: xr.Dataset, name: str, kind: str, rows: slice = slice(None)) -> None:
    k = [c.netcdf_name for c in cycle(0).channels].index(name)
    assert dataset.time.values.tolist() == [int(t.timestamp() * 1e9) for t in TIMES]
    start = [TIMES[0], TIMES[1], TIMES[1], TIMES[3]]
    assert dataset.forecast_reference_time.values.tolist() == [int(t.timestamp() * 1e9) for t in start]
    truth = np.stack([cycle(i).fields(kind)[0, k] for i in range(4)])[:, rows]  # type: ignore[arg-type]
    assert np.abs(dataset[f"{name}_{kind}"].values - truth).max() <= 2.0**-8 * 1.01


def test_netcdf_of_the_globe_holds_every_cycle(config: str, tmp_path: Path) -> None:
    out = tmp_path / "all.nc"
    assert run("--config", config, "--out", out) == 0
    with xr.open_dataset(out) as dataset:
        check(dataset, "t850", "mean")
        check(dataset, "u250", "spread")
        assert float(dataset["t850_mean"].pressure_850) == 850
        assert dataset.attrs["time_coverage_end"] == "2005-08-27T12:00:00Z"
        assert len([name for name in dataset.data_vars if dataset[name].ndim > 2]) == 34
    with netCDF4.Dataset(out) as file:
        told = file["t850_mean"].coordinates.split()
    assert told == ["forecast_reference_time", "revision", "number_of_realizations", "pressure_850"]


def test_netcdf_of_a_region_across_the_zero_meridian(config: str, tmp_path: Path) -> None:
    out = tmp_path / "europe.nc"
    args = ("--config", config, "--out", out, "--region", 30, -25, 72, 45, "--channels", "t850", "2t")
    assert run(*map(str, args), "--kinds", "mean", "members") == 0
    with xr.open_dataset(out) as dataset:
        lon = dataset.lon.values
        assert (np.diff(lon) > 0).all()
        assert lon[0] == -22.5
        assert lon[-1] == 45
        assert ((dataset.lat >= 30) & (dataset.lat <= 72)).all()
        assert {str(n) for n in dataset.data_vars if dataset[n].ndim > 2} == {"t850", "t850_mean", "t2m", "t2m_mean"}
        sample = cycle(3)
        point = dataset["t850"].sel(time="2005-08-27T12", lon=-22.5, method="nearest").isel(lat=0)
        row = int(np.abs(sample.grid.lat - float(point.lat)).argmin())
        column = int(np.abs(sample.grid.lon - 337.5).argmin())
        np.testing.assert_allclose(point.values, sample.states[:, 4, row, column], atol=2.0**-8 * 1.01)


@pytest.mark.slow
def test_exported_netcdf_meets_the_conventions(config: str, tmp_path: Path) -> None:
    from tests.products.test_conventions import complaints

    tool, out, report = require_tool("compliance-checker"), tmp_path / "part.nc", tmp_path / "report.json"
    args = ("--config", config, "--out", out, "--region", 30, -25, 72, 45, "--channels", "t850", "2t", "q850", "sp")
    assert run(*map(str, args)) == 0
    tests = ["-t", "cf:1.11", "-t", "acdd:1.3", "-c", "strict", "-f", "json_new", "-o", str(report)]
    subprocess.run([tool, *tests, str(out)], capture_output=True, check=False)
    import json

    assert complaints(next(iter(json.loads(report.read_text()).values()))) == []


def test_grib_of_a_region_reads_the_same_in_ecmwf_and_cdo(config: str, tmp_path: Path) -> None:
    part = ("--region", 30, -25, 72, 45, "--channels", "t850", "z500")
    args = ("--config", config, "--out", tmp_path / "e.grib2", *part)
    # The third cycle is a forecast: its file is another one, its messages say so.
    assert run(*map(str, args)) == 0
    assert sorted(path.name for path in tmp_path.glob("*.grib2")) == ["e_mean.grib2", "e_spread.grib2"]
    sample, seen = cycle(0), []
    with (tmp_path / "e_mean.grib2").open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            keys = ("shortName", "level", "validityDate", "validityTime", "step", "Ni", "Nj")
            seen.append(tuple(eccodes.codes_get(handle, key) for key in keys))
            if len(seen) == 1:
                lat, lon = (eccodes.codes_get_array(handle, f"{name}itudes") for name in ("lat", "long"))
                rows = [int(np.abs(sample.grid.lat - y).argmin()) for y in lat]
                columns = [int(np.abs((sample.grid.lon - x + 180) % 360 - 180).argmin()) for x in lon]
                truth = sample.fields("mean")[0, 4][rows, columns]
                assert np.abs(eccodes.codes_get_values(handle) - truth).max() < 0.005
                assert np.abs(sample.grid.lat[rows] - lat).max() < 1e-6
            eccodes.codes_release(handle)
    assert [s[:5] for s in seen if s[0] == "t"] == [
        ("t", 850, 20050826, 0, 0),
        ("t", 850, 20050826, 1200, 0),
        ("t", 850, 20050827, 0, 12),
        ("t", 850, 20050827, 1200, 0),
    ]
    assert {s[5:] for s in seen} == {(7, 4)}
    # CDO refuses a file that mixes analyses with forecasts; of the analyses it reads the same.
    few = tmp_path / "few.grib2"
    arguments = ["2005-08-26T00", "2005-08-26T12", "--config", config, "--kinds", "mean", "--out", few, *part]
    assert main(["export", *map(str, arguments)]) == 0
    command = [require_tool("cdo"), "-s", "outputf,%.6g,1", "-selname,t", "-seltimestep,1", str(few)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    np.testing.assert_allclose(np.array(shown.split(), float), truth.ravel(), atol=0.01)


def test_zarr_is_written_piece_by_piece(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_module("zarr")
    monkeypatch.setattr("dacycle.cycler.products.export.AT_ONCE", 3)
    out = tmp_path / "all.zarr"
    assert run("--config", config, "--out", out, "--channels", "t850", "u250") == 0
    with xr.open_zarr(out, consolidated=False) as dataset:
        check(dataset, "t850", "mean")
        check(dataset, "u250", "spread")
    assert run("--config", config, "--out", out) == 1
    assert "exists; choose another name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "x.csv"], "expected a name that ends in .nc"),
        (["--out", "x.nc", "--channels", "t700"], "lacks t700; its channels: 2t 10u 10v sp t850 u850"),
        (["--out", "x.grib2", "--channels", "t700"], "lack t700; their channels: 10u 10v 2t q850 sp t250"),
        (["--out", "x.nc", "--channels", "temperature"], "unknown channel 'temperature'"),
        (["--out", "x.nc", "--region", "60", "0", "30", "10"], "expected -90 <= south < north <= 90"),
        (["--out", "x.nc", "--stream", "early"], "no products of that period"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    config: str, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments[1] = str(tmp_path / arguments[1])
    assert run("--config", config, *arguments) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("x.*"))


def test_the_archive_grows_and_writes_reruns_over_in_place(tmp_path: Path) -> None:
    require_module("icechunk")
    state, archive = tmp_path / "state", tmp_path / "archive"
    for k in (0, 1, 3):
        put(state, k)

    def entries() -> list:  # type: ignore[type-arg]
        with Ledger.open(state) as ledger:
            return ledger.products()

    assert update(archive, state, entries()) == 3
    assert update(archive, state, entries()) == 0
    put(state, 2)  # late: between two that are there
    assert update(archive, state, entries()) == 1
    before = open_archive(archive).load()
    check(before, "t850", "mean")
    put(state, 1, seed=9)
    assert update(archive, state, entries()) == 1
    after = open_archive(archive)
    assert after.revision.values.tolist() == [1, 2, 1, 1]
    truth = cycle(1, seed=9).fields("mean")[0, 4]
    assert np.abs(after["t850_mean"].sel(time=TIMES[1].replace(tzinfo=None)).values - truth).max() <= 2.0**-8 * 1.01
    np.testing.assert_array_equal(after["t850_mean"].isel(time=0), before["t850_mean"].isel(time=0))


def test_export_refuses_an_empty_period(state: Path, tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="no products of that period"):
        export(state, [], Request(region=Region()), tmp_path / "x.nc")


def test_a_cycle_brings_the_archive_up_to_date_and_does_not_fail_for_it(tmp_path: Path, tiny_bundle_path: Path) -> None:
    require_module("icechunk")
    archive = soundings(tmp_path / "archive", [hours(0), hours(12)])
    products = {"archive": tmp_path / "zarr"}
    chosen = config_of(tmp_path, archive, tiny_bundle_path, products=products)
    with open_engine(chosen, NOW) as engine:
        engine.run(hours(0), NOW)
        engine.run(hours(12), NOW)
    assert open_archive(tmp_path / "zarr").sizes["time"] == 2
    (tmp_path / "file").write_text("in the way")
    broken = config_of(tmp_path / "b", archive, tiny_bundle_path, products={"archive": tmp_path / "file"})
    with open_engine(broken, NOW) as engine:
        assert engine.run(hours(0), NOW).state == "published"
        assert any("could not be brought up to date" in event.text for event in engine.ledger.events())
