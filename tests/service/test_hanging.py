"""Stages that do not end, stops in the middle of them, and what watches over the daemon from outside."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.states import State, Stream
from tests.cycle.small_world import START, config, hours, soundings, toml
from tests.service.processes import ENVIRONMENT, ROOT, running, settled


@pytest.fixture
def chosen(tmp_path: Path, tiny_bundle_path: Path) -> Config:
    source = soundings(tmp_path / "archive", [hours(0), hours(12)])
    cycle = {"first": START, "cutoff_hours": 12, "cutoff_max_hours": 240, "early_stream": False}
    return config(tmp_path, source, tiny_bundle_path, cycle=cycle, log={"level": "debug"})


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """What systemd would hear, and where."""
    address, heard = str(tmp_path / "notify"), list[str]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(0.2)
        ended = threading.Event()

        def listen() -> None:
            while not ended.is_set():
                try:
                    heard.extend(channel.recv(4096).decode().split("\n"))
                except TimeoutError:
                    continue

        listening = threading.Thread(target=listen)
        listening.start()
        yield address, heard
        ended.set()
        listening.join()


def with_service(chosen: Config, **keys: float) -> Config:
    return chosen.model_copy(update={"service": chosen.service.model_copy(update=keys)})


def with_steps(chosen: Config, steps: int) -> Config:
    return chosen.model_copy(update={"assimilation": chosen.assimilation.model_copy(update={"steps": steps})})


def test_stage_that_hangs_ends_the_program_which_starts_itself_anew(
    chosen: Config, tmp_path: Path, tiny_bundle_path: Path, supervisor: tuple[str, list[str]]
) -> None:
    address, heard = supervisor
    source = Path(chosen.source.location)
    calm = config(tmp_path / "calm", source, tiny_bundle_path, cycle=chosen.cycle.model_dump())
    (tmp_path / "calm").mkdir()
    with running(calm) as daemon:
        daemon.until("cycle_end", cycle="2021-03-01T12")
    hung = tmp_path / "hung"
    environment = {"HANG_ONCE": str(hung), "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"}
    with running(with_service(chosen, hang_seconds=15), **environment) as daemon:
        pid = daemon.process.pid
        url = daemon.until("started")["url"]
        told = daemon.until("hangs")
        assert told["doing"] == "2021-03-01 00 UTC delayed: forecast"
        assert hung.exists()
        silent = len(heard)
        daemon.until("started")
        assert daemon.process.pid == pid
        daemon.until("cycle_end", cycle="2021-03-01T12")
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.end() == 0
    assert url
    assert heard.count("READY=1") == 2
    assert "WATCHDOG=1" in heard[:silent]
    assert "STATUS=starting anew after a stage hung" in heard
    with History.read(chosen.paths.state) as history:
        first = history.valid(START, Stream.DELAYED)
        assert first is not None
        assert (first.failed_attempts, first.attempts) == (1, 2)
        texts = [event.text for event in history.events()]
    assert any(t.startswith("2021-03-01T00 delayed failed: forecast hung, no progress for ") for t in texts)
    found, wanted = settled(chosen), settled(calm)
    assert found["products"] == wanted["products"]
    assert found["leftovers"] == wanted["leftovers"] == []
    tables = {name: rows for name, rows in wanted["ledger"].items() if name != "tally"}  # which counts the failed try
    assert {name: rows for name, rows in found["ledger"].items() if name != "tally"} == tables


def test_sigterm_in_mid_assimilation_ends_within_20_seconds_and_nothing_is_drawn_twice(chosen: Config) -> None:
    chosen = with_steps(chosen, 100)
    with running(chosen) as daemon:
        daemon.until("chunk", stage="assimilate", done=100)
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.end() == 0
        assert time.monotonic() - began < 20
        assert "abandoned" not in daemon.events()
    drawn = chosen.paths.state / "work/2021-03-01T00-delayed-1/chunk-001-002.npy"
    stamp = drawn.stat().st_mtime_ns, drawn.stat().st_ino
    with History.read(chosen.paths.state) as history:
        assert [r.state for r in history.cycles()] == [State.PENDING]
    with running(chosen) as daemon:
        daemon.until("stage_begin", stage="assimilate")
        assert (drawn.stat().st_mtime_ns, drawn.stat().st_ino) == stamp
        daemon.until("chunk", stage="assimilate")
        assert [t["done"] for t in daemon.log if t["event"] == "chunk"] == [200], "only the second chunk was drawn"
        begun = [t["stage"] for t in daemon.log if t["event"] == "stage_begin"]
        assert begun == ["assimilate"], "neither the ingest nor the forecast is done again"
        daemon.until("cycle_end", cycle="2021-03-01T00")


def test_stage_that_heeds_no_stop_is_abandoned_in_time(chosen: Config, tmp_path: Path) -> None:
    hung = tmp_path / "hung"
    with running(with_service(chosen, stop_seconds=2), HANG_ONCE=str(hung)) as daemon:
        daemon.until("stage_begin", stage="forecast")
        while not hung.exists():
            time.sleep(0.05)
        began = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.end() == 0
        assert time.monotonic() - began < 20
        assert daemon.events()[-1] == "abandoned"
    with running(chosen) as daemon:
        daemon.until("cycle_end", cycle="2021-03-01T12")


def test_daemon_that_cannot_run_cycles_is_not_ready_and_says_why(chosen: Config, tmp_path: Path) -> None:
    with running(with_service(chosen, hang_seconds=3600), HANG_ONCE=str(tmp_path / "hung")) as daemon:
        url = daemon.until("started")["url"]
        daemon.until("stage_begin", stage="forecast")
        assert httpx.get(f"{url}readyz", timeout=60).status_code == 200
    nowhere = {"location": str(tmp_path / "empty")}
    soundings(tmp_path / "empty", [])
    (tmp_path / "nothing").mkdir()
    empty = chosen.model_copy(
        update={
            "paths": chosen.paths.model_copy(update={"state": tmp_path / "nothing" / "state"}),
            "source": chosen.source.model_copy(update=nowhere),
            "cycle": chosen.cycle.model_copy(update={"first": None}),
        }
    )
    with running(empty) as daemon:
        url = daemon.until("started")["url"]
        for _ in range(200):
            answer = httpx.get(f"{url}readyz", timeout=60)
            if "nothing to begin with" in answer.text:
                break
            time.sleep(0.1)
        assert (answer.status_code, answer.text.split(":")[0]) == (503, "nothing to begin with")
        assert httpx.get(f"{url}healthz", timeout=60).status_code == 200


def test_status_answers_within_half_a_second_while_a_cycle_runs_and_never_blocks_the_writer(chosen: Config) -> None:
    chosen = with_steps(chosen, 1000)
    path = toml(chosen.paths.state.parent / "status.toml", chosen)
    command = [sys.executable, "-m", "dacycle.cycler.main", "status", "--json", "--config", str(path)]
    with running(chosen) as daemon:
        daemon.until("stage_begin", stage="assimilate")
        used, told = [], ""
        for _ in range(5):
            before = os.times()
            told = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, check=True, capture_output=True, text=True).stdout
            after = os.times()
            # The processor's time, of which another job on the machine takes nothing; it waits for nothing else.
            used.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert min(used) <= 0.5
        assert '"state": "assimilating"' in told
        traced = [sys.executable, "-X", "importtime", *command[1:]]
        done = subprocess.run(traced, env=ENVIRONMENT, cwd=ROOT, check=True, capture_output=True, text=True)
        imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
        assert "dacycle.cycler.config" in imported
        assert not imported & {"torch", "netCDF4", "apscheduler", "starlette", "xarray"}
