"""Members drawn by worker processes: the same bits as here, whatever happens to the workers."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.cluster import Cluster, _models
from dacycle.cycler.cycle.engine import open_engine, run_cycle
from dacycle.cycler.cycle.executor import Check, FloatArray, Here, Known
from dacycle.cycler.cycle.models import Models
from dacycle.cycler.cycle.progress import Progress, Stopped
from dacycle.cycler.cycle.states import State, Stream
from dacycle.cycler.service.doctor import examine
from dacycle.errors import BundleError, ClusterError
from tests.cycle.small_world import START, config, hours, soundings, toml
from tests.obs.batches import NOON, batch
from tests.tools import require_module

MEMBERS, CHUNK = 10, 2
CHUNKS = [range(i, i + CHUNK) for i in range(1, MEMBERS + 1, CHUNK)]
NOW = hours(60)
LOOPBACK = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    """A cluster of two worker processes."""
    distributed = require_module("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, **LOOPBACK) as cluster:
        yield cluster


@pytest.fixture
def chosen(tmp_path: Path, tiny_bundle_path: Path, scheduler: Any) -> Config:
    source = soundings(tmp_path / "archive", [hours(0), hours(12)])
    return config(tmp_path, source, tiny_bundle_path, ensemble=ensemble(scheduler.scheduler_address))


def ensemble(address: str | None, executor: str = "dask") -> dict[str, Any]:
    return {"members": MEMBERS, "chunk": CHUNK, "threads": 1, "executor": executor, "address": address}


def changed(chosen: Config, section: str, **keys: Any) -> Config:
    return chosen.model_copy(update={section: getattr(chosen, section).model_copy(update=keys)})


@pytest.fixture
def known(tiny_bundle: Bundle) -> Known:
    observed = batch([{"t850": 268.0, "z500": 5610.0}, {"u250": 12.0}, {"t500": 255.0, "v250": -9.0}])
    shape = 3, len(tiny_bundle.channels), *tiny_bundle.coarse.shape
    forecast = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return Known(NOON, observed, forecast, seed=3)


@pytest.fixture
def here(chosen: Config, tiny_bundle: Bundle, known: Known) -> dict[int, FloatArray]:
    return drawn(Here(Models(chosen, tiny_bundle).analyst), known)


def drawn(executor: Here | Cluster, known: Known, check: Check = lambda calls: None) -> dict[int, FloatArray]:
    try:
        return {chunk[0]: states for chunk, states in executor.draw(known, CHUNKS, check)}
    finally:
        executor.close()


def same(found: dict[int, FloatArray], expected: dict[int, FloatArray]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[k], expected[k]) for k in expected)


def connected(chosen: Config, bundle: Bundle, workers: int) -> Cluster:
    cluster = Cluster(chosen, bundle)
    cluster.client.wait_for_workers(workers)
    return cluster


def loads() -> int:
    return _models.cache_info().misses


@pytest.mark.parametrize("workers", [2, 4])
def test_members_of_several_processes_are_those_of_one(
    workers: int, scheduler: Any, chosen: Config, tiny_bundle: Bundle, known: Known, here: dict[int, FloatArray]
) -> None:
    scheduler.scale(workers)
    calls: list[int] = []
    assert same(drawn(connected(chosen, tiny_bundle, workers), known, calls.append), here)
    assert sum(calls) <= len(CHUNKS) * chosen.assimilation.steps
    assert same(drawn(connected(chosen, tiny_bundle, workers), known), here)
    cluster = connected(chosen, tiny_bundle, workers)
    loaded = cluster.client.run(loads)
    cluster.close()
    assert len(loaded) == workers
    assert set(loaded.values()) == {1}, "every worker loads the models once"


def test_lost_workers_cost_nothing_but_time(scheduler: Any, chosen: Config, tiny_bundle: Bundle, known: Known) -> None:
    longer = changed(chosen, "assimilation", steps=30)
    expected = drawn(Here(Models(longer, tiny_bundle).analyst), known)
    cluster = connected(longer, tiny_bundle, 2)
    before = set(cluster.client.run(os.getpid).values())
    victims = iter(sorted(before)[:2])

    def kill(calls: int) -> None:
        if calls and (pid := next(victims, None)) is not None:
            os.kill(pid, signal.SIGKILL)

    assert same(drawn(cluster, known, kill), expected)
    assert next(victims, None) is None
    cluster = connected(longer, tiny_bundle, 2)
    after = set(cluster.client.run(os.getpid).values())
    cluster.close()
    assert len(before - after) == 2


def test_whole_cycle_on_workers_of_its_own_writes_the_same_bytes(
    tmp_path: Path, chosen: Config, tiny_bundle_path: Path
) -> None:
    own = config(
        tmp_path / "own",
        Path(chosen.source.location),
        tiny_bundle_path,
        ensemble={**ensemble(None), "workers": 1},
    )
    local = config(tmp_path / "local", Path(chosen.source.location), tiny_bundle_path, ensemble=ensemble(None, "local"))
    for each in (own, local):
        run_cycle(each, START, NOW)
    found, expected = (products(each.paths.state) for each in (own, local))
    assert len(expected) >= 2
    assert found == expected


def test_workers_log_as_the_daemon_does_with_cycle_and_stage(
    chosen: Config, tiny_bundle: Bundle, known: Known, capfd: pytest.CaptureFixture[str]
) -> None:
    own = changed(changed(chosen, "ensemble", address=None, workers=1), "log", level="debug")
    with structlog.contextvars.bound_contextvars(cycle="2021-03-01T00", stage="assimilate"):
        drawn(Cluster(own, tiny_bundle), known)
    told = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    chunks = [line for line in told if line["event"] == "chunk_drawn"]
    assert sorted(line["members"] for line in chunks) == [list(chunk) for chunk in CHUNKS]
    assert {(line["cycle"], line["stage"]) for line in chunks} == {("2021-03-01T00", "assimilate")}


def products(state: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (state / "products").rglob("*.nc")}


def test_stop_in_mid_draw_and_the_next_start_goes_on_elsewhere(chosen: Config) -> None:
    def stop(progress: Progress) -> None:
        if progress.point == "chunk" and progress.stage == "assimilate":
            raise Stopped

    longer = changed(chosen, "assimilation", steps=50)
    with open_engine(longer, NOW, stop) as engine, pytest.raises(Stopped):
        engine.run(START, NOW)
    told: list[Progress] = []
    with open_engine(changed(longer, "ensemble", executor="local"), NOW, told.append) as engine:
        assert engine.run(START, NOW).state == State.PUBLISHED
    drawn_now = [p for p in told if p.point == "chunk" and p.stage == "assimilate"]
    assert len(drawn_now) == len(CHUNKS) - 1


def test_what_nobody_waits_for_ends_on_the_workers_too(chosen: Config, tiny_bundle: Bundle, known: Known) -> None:
    endless = connected(changed(chosen, "assimilation", steps=1000), tiny_bundle, 2)

    def stop(calls: int) -> None:
        if calls:
            raise Stopped

    with pytest.raises(Stopped):
        drawn(endless, known, stop)
    client = connected(chosen, tiny_bundle, 2)
    deadline = time.monotonic() + 20
    while any(client.client.run(busy).values()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client.close()


def busy(dask_worker: Any) -> int:
    return len(dask_worker.active_threads)


def test_absent_scheduler_leaves_the_cycle_pending(chosen: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dacycle.cycler.cycle.cluster.CONNECT_SECONDS", 0.5)
    away = changed(chosen, "ensemble", address="tcp://127.0.0.1:1")
    with open_engine(away, NOW) as engine:
        with pytest.raises(ClusterError, match=r"^no dask scheduler at tcp://127\.0\.0\.1:1: [^\n]*$"):
            engine.run(START, NOW)
        record = engine.ledger.cycle(START, Stream.DELAYED)
        assert record is not None
        assert (record.state, record.failed_attempts) == (State.PENDING, 0)
        assert record.reason.startswith("no dask scheduler")


def test_scheduler_without_workers_is_told(
    chosen: Config, tiny_bundle: Bundle, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = require_module("distributed")
    monkeypatch.setattr("dacycle.cycler.cycle.cluster.CONNECT_SECONDS", 0.5)
    with distributed.LocalCluster(n_workers=0, **LOOPBACK) as empty:
        cluster = Cluster(changed(chosen, "ensemble", address=empty.scheduler_address), tiny_bundle)
        with pytest.raises(ClusterError, match="no dask worker has come"):
            drawn(cluster, known)


def test_doctor_looks_for_the_cluster(chosen: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dacycle.cycler.cycle.cluster.CONNECT_SECONDS", 5.0)
    for address, right, told in (
        (chosen.ensemble.address, True, "dask workers"),
        ("tcp://127.0.0.1:1", False, "no dask scheduler at tcp://127.0.0.1:1"),
    ):
        path = toml(tmp_path / "dacycle.toml", changed(chosen, "ensemble", address=address))
        [found] = [finding for finding in examine(path, NOW) if finding.subject == "cluster"]
        assert (found.right, told in found.text) == (right, True)


def test_hanging_workers_are_told(
    chosen: Config, tiny_bundle: Bundle, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dacycle.cycler.cycle.cluster.PATIENCE_SECONDS", 1.0)
    cluster = connected(changed(chosen, "assimilation", steps=1000), tiny_bundle, 2)
    pids = cluster.client.run(os.getpid).values()
    stopped: list[int] = []

    def freeze(calls: int) -> None:
        if calls and not stopped:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)

    try:
        with pytest.raises(ClusterError, match=r"nothing happened on \d dask workers for 1 s"):
            drawn(cluster, known, freeze)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_workers_that_would_draw_other_members_refuse(chosen: Config, tiny_bundle: Bundle, known: Known) -> None:
    cluster = connected(chosen, tiny_bundle, 1)
    cluster.recipe = replace(cluster.recipe, versions=("0.0.1", *cluster.recipe.versions[1:]))
    with pytest.raises(ClusterError, match=r"dask worker \w+ has dacycle .*; the daemon has dacycle 0\.0\.1"):
        drawn(cluster, known)
    cluster = connected(chosen, tiny_bundle, 1)
    cluster.recipe = replace(cluster.recipe, bundle="another")
    with pytest.raises(ClusterError, match="has another bundle at"):
        drawn(cluster, known)
    cluster = connected(chosen, tiny_bundle, 1)
    sent = cluster.recipe.config.replace(str(tiny_bundle.path), "/nowhere")
    cluster.recipe = replace(cluster.recipe, config=sent)
    with pytest.raises(BundleError, match="bundle /nowhere: no such folder"):
        drawn(cluster, known)
