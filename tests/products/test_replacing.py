"""Readers at work while a writer replaces the products again and again: nothing half-written, nothing mixed."""

import multiprocessing
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Any

import eccodes
import netCDF4
import numpy as np
import pytest

from dacycle.cycler.products.folders import product_folder
from dacycle.cycler.products.manifest import read_manifest, verify
from dacycle.cycler.products.publish import publish
from dacycle.cycler.products.snapshot import snapshot
from dacycle.errors import ProductError
from tests.products.samples import TIME, small

REVISIONS = 10


def _replace(state: Path, done: Event) -> None:
    for k in range(REVISIONS):
        publish(product_folder(state, TIME), small(k % 2))
        publish(product_folder(state, TIME, "early"), small(k % 2, stream="early"), keep_superseded=False)
    done.set()


def _single_files(state: Path, done: Event, told: Any) -> None:
    """By ordinary paths, as other people's tools do: every file is there, whole, every time it is opened."""
    folder, opened = product_folder(state, TIME), 0
    try:
        while not done.is_set():
            with netCDF4.Dataset(folder / "analysis.nc") as file:
                seen = {float(np.isfinite(file[name][:]).mean()) for name in ("t2m_mean", "u10_spread")}
            assert seen == {1.0}
            messages = 0
            with (folder / "analysis_mean.grib2").open("rb") as grib:
                while (handle := eccodes.codes_grib_new_from_file(grib)) is not None:
                    messages += eccodes.codes_get_values(handle).size == 32
                    eccodes.codes_release(handle)
            assert messages == 2
            assert read_manifest(folder) is not None
            opened += 1
    except BaseException as error:
        told.put(("single files", repr(error)))
        return
    told.put(("single files", opened))


def _whole_cycles(state: Path, stream: str, done: Event, told: Any) -> None:
    """All files of a cycle together: each has the hash that the manifest beside it promises."""
    folder = product_folder(state, TIME, stream)
    revisions, lost = set(), 0
    try:
        while not done.is_set():
            with snapshot(folder) as whole:
                problems = verify(whole)
                manifest = read_manifest(whole)
            if manifest is None:  # early products that were replaced are removed, also under a reader: gone, not mixed
                assert stream == "early"
                lost += 1
                continue
            if problems:
                assert stream == "early", problems
                assert all("No such file" in problem for problem in problems), problems
                lost += 1
                continue
            revisions.add(manifest.revision)
    except BaseException as error:
        told.put((stream, repr(error)))
        return
    told.put((stream, len(revisions)))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_nobody_ever_sees_a_half_written_or_mixed_cycle(tmp_path: Path) -> None:
    publish(product_folder(tmp_path, TIME), small(1))
    publish(product_folder(tmp_path, TIME, "early"), small(1, stream="early"))
    context = multiprocessing.get_context("spawn")
    done, told = context.Event(), context.Queue()
    jobs: list[tuple[Any, tuple[Any, ...]]] = [
        (_single_files, (tmp_path, done, told)),
        (_whole_cycles, (tmp_path, "delayed", done, told)),
        (_whole_cycles, (tmp_path, "early", done, told)),
    ]
    readers = [context.Process(target=job, args=arguments) for job, arguments in jobs]
    for reader in readers:
        reader.start()
    time.sleep(1.0)  # not needed for truth, but for having something to see
    writer = context.Process(target=_replace, args=(tmp_path, done))
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    answers: dict[str, Any] = {}
    for _ in readers:
        try:
            name, answer = told.get(timeout=60)
        except Empty:
            break
        answers[name] = answer
    for reader in readers:
        reader.join()
    assert set(answers) == {"single files", "delayed", "early"}, answers
    assert all(isinstance(answer, int) for answer in answers.values()), answers
    assert answers["single files"] > 5
    assert answers["delayed"] > 3


def test_a_snapshot_keeps_its_cycle_while_a_new_one_takes_the_place(tmp_path: Path) -> None:
    folder = product_folder(tmp_path, TIME)
    publish(folder, small(0))
    with snapshot(folder) as whole:
        before = (whole / "analysis.nc").read_bytes()
        publish(folder, small(1))
        assert (whole / "analysis.nc").read_bytes() == before != (folder / "analysis.nc").read_bytes()
        manifest, now = read_manifest(whole), read_manifest(folder)
        assert manifest is not None
        assert now is not None
        assert (manifest.revision, now.revision) == (1, 2)
        assert verify(whole) == ()
    with pytest.raises(ProductError, match="no products at"), snapshot(tmp_path / "nothing"):
        pass
