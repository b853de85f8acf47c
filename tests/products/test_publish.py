"""A cycle's products appear at once, are replaced at once, and survive any death in between."""

import json
import multiprocessing
import os
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from dacycle.cycler.products import exchange as exchange_module
from dacycle.cycler.products import publish as publish_module
from dacycle.cycler.products.folders import product_folder
from dacycle.cycler.products.manifest import read_manifest, verify
from dacycle.cycler.products.publish import ProductRequest, publish, recover
from dacycle.errors import ProductError
from tests.products.samples import PROVENANCE, TIME, ensemble, request, small

ALL = [
    "analysis.nc",
    "analysis_mean.grib2",
    "analysis_members.grib2",
    "analysis_spread.grib2",
    "manifest.json",
    "observations.nc",
]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return product_folder(tmp_path, TIME)


def test_folders_follow_the_analysis_time(tmp_path: Path) -> None:
    time = datetime(2005, 8, 6, 12, tzinfo=UTC)
    assert product_folder(tmp_path, time) == tmp_path / "products" / "2005" / "08" / "06" / "12"
    assert product_folder(tmp_path, time, "early") == tmp_path / "products" / "2005" / "08" / "06" / "12" / "early"


def test_everything_is_there_and_verifies(folder: Path) -> None:
    manifest = publish(folder, request())
    assert names(folder) == ALL
    assert names(folder.parent) == ["00"]
    assert verify(folder) == ()
    assert read_manifest(folder) == manifest
    assert manifest.revision == 1
    assert manifest.time == "2005-08-26T00:00:00Z"
    assert manifest.runtime == {"published": "2026-01-01T00:00:00Z"}


def test_formats_and_members_can_be_left_out(folder: Path) -> None:
    publish(folder, request(formats=("grib2",), members=False, observations=None))
    assert names(folder) == ["analysis_mean.grib2", "analysis_spread.grib2", "manifest.json"]


def test_forecasts_of_the_early_stream(tmp_path: Path) -> None:
    folder = product_folder(tmp_path, TIME, "early")
    forecasts = (ensemble(hours=6), ensemble(hours=12))
    publish(folder, request(stream="early", analysis=None, observations=None, forecasts=forecasts))
    stems = ["forecast.nc", "forecast_mean.grib2", "forecast_members.grib2", "forecast_spread.grib2"]
    assert names(folder) == [*stems, "manifest.json"]


def test_clipped_values_are_counted_in_the_manifest(folder: Path) -> None:
    sample = ensemble()
    sample.states[0, 7] = -1e-6
    assert publish(folder, request(analysis=sample)).clipped == {"analysis": {"q850": 16 * 32}}


def test_publishing_the_same_again_changes_nothing(folder: Path) -> None:
    first = publish(folder, request())
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert publish(folder, request(runtime={"published": "later"})) == first
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert names(folder.parent) == ["00"]


def test_damaged_products_are_published_anew(folder: Path) -> None:
    publish(folder, request())
    (folder / "analysis.nc").write_bytes(b"damaged")
    assert publish(folder, request()).revision == 2
    assert verify(folder) == ()


def test_two_installations_write_the_same_bytes(tmp_path: Path) -> None:
    publish(tmp_path / "a", request())
    publish(tmp_path / "b", request())
    for name in ALL:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_rerun_keeps_what_it_replaces(folder: Path) -> None:
    olds = []
    for seed in range(3):
        publish(folder, request(seed=seed))
        olds.append((folder / "analysis.nc").read_bytes())
    assert names(folder) == sorted([*ALL, "superseded"])
    assert verify(folder) == ()
    for revision in (1, 2):
        old = folder / "superseded" / str(revision)
        assert verify(old) == ()
        assert (old / "analysis.nc").read_bytes() == olds[revision - 1]
        mark = json.loads((old / "superseded.json").read_text())
        assert mark == {"revision": revision, "superseded_by_revision": revision + 1}
        assert names(old) == sorted([*ALL, "superseded.json"])
    assert names(folder.parent) == ["00"]


def test_early_products_outlive_the_delayed_ones(tmp_path: Path, folder: Path) -> None:
    early = product_folder(tmp_path, TIME, "early")
    publish(early, request(stream="early", seed=5))
    inode = (early / "analysis.nc").stat().st_ino
    for seed in range(2):
        publish(folder, request(seed=seed))
        assert verify(early) == ()
        assert (early / "analysis.nc").stat().st_ino == inode, "carried over, not copied"
    assert names(folder) == sorted([*ALL, "early", "superseded"])
    assert "early" not in names(folder / "superseded" / "1")


def test_old_early_products_need_not_be_kept(folder: Path) -> None:
    for seed in range(3):
        publish(folder, request(seed=seed), keep_superseded=False)
    assert names(folder) == ALL
    assert names(folder.parent) == ["00"]


def test_a_failure_leaves_the_published_products_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder, request())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(publish_module, "_carry", full)
        with pytest.raises(ProductError, match="No space left on device"):
            publish(folder, request(seed=1))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    publish(folder, request(seed=1))
    assert verify(folder) == ()
    assert names(folder.parent) == ["00"]


def test_nan_reaches_no_product(folder: Path) -> None:
    sample = ensemble()
    sample.states[0, 0, 0, 0] = np.nan
    with pytest.raises(ProductError, match="2t of member 1; nothing is written"):
        publish(folder, request(analysis=type(sample)(sample.states, sample.channels, sample.grid, TIME)))
    assert not folder.exists()


def test_contradictory_requests_are_refused() -> None:
    with pytest.raises(ProductError, match="unknown product format 'grib1'; expected some of grib2, netcdf"):
        request(formats=("grib1",))
    with pytest.raises(ProductError, match=r"expected an analysis of 2005-08-26T00:00:00Z; got the forecast \+6 h"):
        request(analysis=ensemble(hours=6))
    with pytest.raises(ProductError, match="expected forecasts with their hours"):
        ProductRequest(TIME, "early", PROVENANCE, forecasts=(ensemble(),))


def test_readers_never_see_a_mixed_or_partial_cycle(folder: Path) -> None:
    publish(folder, small())
    stop = threading.Event()
    troubles: list[str] = []
    seen: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            opened = os.open(folder, os.O_RDONLY)
            try:
                manifest = json.loads(_read(opened, "manifest.json"))
                seen.add(manifest["revision"])
                for name in ("analysis.nc", "analysis_mean.grib2", "observations.nc"):
                    content = _read(opened, name)
                    if len(content) != manifest["products"][name]["bytes"]:
                        troubles.append(f"{name} is not of revision {manifest['revision']}")
            except OSError as error:
                troubles.append(str(error))
            finally:
                os.close(opened)

    def _read(directory: int, name: str) -> bytes:
        with open(os.open(name, os.O_RDONLY, dir_fd=directory), "rb") as file:  # noqa: PTH123
            return file.read()

    reader = threading.Thread(target=read)
    reader.start()
    for seed in range(1, 6):
        publish(folder, small(seed))
    stop.set()
    reader.join()
    assert troubles == []
    assert len(seen) > 2


CALLS = ("fsync", "rename", "replace", "link", "unlink", "rmdir", "mkdir")


def _publish_and_die(folder: Path, fatal: int, atomic_exchange: bool) -> None:
    """Publish a rerun and end the process, without any clean-up, at its ``fatal``-th call to the file system."""
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == fatal:
            os._exit(9)

    def deadly(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            count()
            return real(*args, **kwargs)

        setattr(os, name, call)

    for name in CALLS:
        deadly(name)
    real_exchange = exchange_module._rename_exchange

    def exchange(new: Path, current: Path) -> bool:
        count()
        return atomic_exchange and real_exchange(new, current)

    exchange_module._rename_exchange = exchange
    publish(folder, small(1, formats=("netcdf",)))
    os._exit(0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # the child only writes files
@pytest.mark.parametrize("atomic_exchange", [True, False])
def test_death_at_any_moment(tmp_path: Path, atomic_exchange: bool) -> None:
    """Every call that changes the disk is once the last; then readers are served, and the next attempt completes."""
    pristine = tmp_path / "pristine"
    publish(product_folder(pristine, TIME, "early"), small(stream="early", formats=("netcdf",)))
    publish(product_folder(pristine, TIME), small(formats=("netcdf",)))
    context = multiprocessing.get_context("fork")
    outcomes = set()
    for fatal in range(1, 200):
        state = tmp_path / str(fatal)
        shutil.copytree(pristine, state)
        folder = product_folder(state, TIME)
        process = context.Process(target=_publish_and_die, args=(folder, fatal, atomic_exchange))
        process.start()
        process.join()
        if not atomic_exchange:
            recover(folder)  # without the system call, a death between two renames shows nothing until the next start
        manifest = read_manifest(folder)
        assert manifest is not None
        assert verify(folder) == ()
        assert verify(folder / "early") == ()
        outcomes.add(manifest.revision)
        publish(folder, small(1, formats=("netcdf",)))
        assert verify(folder) == ()
        assert verify(folder / "early") == ()
        assert verify(folder / "superseded" / "1") == ()
        assert (folder / "superseded" / "1" / "superseded.json").exists()
        assert names(folder / "superseded") == ["1"]
        assert names(folder.parent) == ["00"]
        shutil.rmtree(state)
        if process.exitcode == 0:
            break
    assert process.exitcode == 0
    assert outcomes == {1, 2}
    assert fatal > 20
