"""The demo, and its daemon: a fast clock that begins when the next cycle is due, a page from the first second."""

import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from dacycle.cycler.cycle.engine import run_cycle
from dacycle.cycler.experiments import live
from dacycle.cycler.experiments.live import SPEED, fast_clock
from tests.cycle.small_world import START, config, hours, soundings
from tests.service.processes import ENVIRONMENT, ROOT


def test_clock_begins_when_the_next_cycle_is_due(
    tmp_path: Path, tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.time, "monotonic", lambda: 100.0)
    chosen = config(tmp_path, soundings(tmp_path / "archive", [hours(0)]), tiny_bundle_path)
    clock = fast_clock(chosen, START)
    assert clock() == hours(72)
    monkeypatch.setattr(live.time, "monotonic", lambda: 220.0)
    assert clock() == hours(72) + timedelta(seconds=120 * SPEED) == hours(72 + chosen.cycle.interval_hours)
    run_cycle(chosen, START, hours(72))
    assert fast_clock(chosen, START)() == hours(72 + 12)


def test_page_is_there_before_the_first_cycle_is_done(tmp_path: Path) -> None:
    small = ["--workdir", str(tmp_path), "--cycles", "2", "--members", "1", "--steps", "2"]
    command = [sys.executable, "-m", "dacycle.cycler.main", "demo", "--live", *small]
    environment = {**os.environ, **ENVIRONMENT, "DACYCLE_SERVICE__PORT": "0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            began = time.monotonic()
            page = next(line for line in process.stdout if "status page" in line)
            told = next(line for line in process.stdout if "started" in line)
            address = re.findall(r"url=(\S+)", told)[0]
            assert page.split() == ["status", "page", address]
            second = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
            assert (second.returncode, second.stdout) == (1, "")
            assert "is in use by another dacycle" in second.stderr
            assert "demo: the clock runs 360 times as fast" in httpx.get(address, timeout=30).text
            while "2001-08-25 00" not in httpx.get(f"{address}parts/cycles", timeout=30).text:
                assert time.monotonic() - began < 60
                time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()  # else a failure would wait for a daemon that nobody stops


def test_the_demo_says_at_its_start_where_to_look(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dacycle.cycler.main", "demo", "--workdir", str(tmp_path), "--cycles", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            lines = [line.rstrip() for line, _ in zip(process.stdout, range(4), strict=False)]
        finally:
            process.kill()
    (products,) = (line for line in lines if line.startswith("products go below "))
    assert products.endswith("/products")
    assert any(line.endswith(f"status --config {tmp_path / 'dacycle.toml'}") for line in lines)
    assert lines[-1].endswith("cycle 1 of 2, 2001-08-25T00: ingest")
