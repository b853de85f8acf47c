"""Log lines that are always JSON, and datagrams to a real socket."""

import io
import json
import logging
import math
import os
import pty
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from dacycle.binding import carried, environment
from dacycle.cycler.config import Log
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.logs import configure
from dacycle.cycler.service.notify import notify, watchdog_seconds


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in stream.getvalue().splitlines()]


def test_nan_becomes_null_and_tracebacks_stay_on_one_line() -> None:
    stream = io.StringIO()
    configure(Log(), stream)
    log = structlog.get_logger("test")
    log.info("numbers", a=math.nan, b=[math.inf, 1.5], c={"d": -math.inf})
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("trouble")
    first, second = lines(stream)
    assert (first["event"], first["a"], first["b"], first["c"]) == ("numbers", None, [None, 1.5], {"d": None})
    assert first["level"] == "info"
    assert str(first["timestamp"]).endswith("Z")
    assert "ValueError: broken" in str(second["exception"])


def test_libraries_take_the_same_way_but_only_when_something_is_wrong() -> None:
    stream = io.StringIO()
    configure(Log(level="debug"), stream)
    logging.getLogger("uvicorn.error").info("chatter")
    logging.getLogger("apscheduler.scheduler").warning("missed by %s", "an hour")
    [told] = lines(stream)
    assert (told["event"], told["logger"], told["level"]) == ("missed by an hour", "apscheduler.scheduler", "warning")


def test_console_is_for_people() -> None:
    stream = io.StringIO()
    configure(Log(format="console", level="warning"), stream)
    structlog.get_logger("test").info("silent")
    structlog.get_logger("test").warning("loud", cycle="2021-03-01T00")
    assert "silent" not in stream.getvalue()
    assert "loud" in stream.getvalue()
    assert "cycle=2021-03-01T00" in stream.getvalue()


def test_a_terminal_is_read_by_people_and_a_pipe_by_programs() -> None:
    """By default; a real pseudo-terminal."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb", buffering=0) as seen:
        configure(Log(), terminal)
        structlog.get_logger("test").info("hello", cycle="2021-03-01T00")
        told = seen.read(1000).decode()
    assert "hello" in told
    assert "{" not in told
    pipe = io.StringIO()
    configure(Log(), pipe)
    structlog.get_logger("test").info("hello", cycle="2021-03-01T00")
    assert lines(pipe)[0]["cycle"] == "2021-03-01T00"


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@dacycle-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert notify("READY=1", "STATUS=listening")
        assert listening.recv(1000) == b"READY=1\nSTATUS=listening"


def test_without_systemd_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify("READY=1")


def test_watchdog_is_read_for_this_process_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_seconds() is None


def test_cycle_and_stage_go_with_the_work_into_threads_and_processes() -> None:
    stream = io.StringIO()
    configure(Log(), stream)
    structlog.contextvars.bind_contextvars(cycle="2021-03-01T00", stage="publish")
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(carried(structlog.get_logger("test").info), ["one", "two"]))
            pool.submit(structlog.get_logger("test").info, "alone").result()
        program = (
            "import logging, structlog; from dacycle.cycler.config import Log;"
            "from dacycle.cycler.logs import configure; configure(Log());"
            "structlog.get_logger('test').info('from a process')"
        )
        told = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **environment()}, capture_output=True, check=True
        )
    finally:
        structlog.contextvars.clear_contextvars()
    first, second, alone = lines(stream)
    assert {first["event"], second["event"]} == {"one", "two"}
    for line in (first, second, json.loads(told.stdout)):
        assert (line["cycle"], line["stage"]) == ("2021-03-01T00", "publish")
    assert "cycle" not in alone  # what carrying is for
    assert environment() == {}


def test_what_operators_are_told_is_in_the_log_too(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure(Log(), stream)
    with Ledger.open(tmp_path) as ledger:
        ledger.tell("the disk is full", datetime(2021, 3, 1, tzinfo=UTC), "warning")
    [told] = lines(stream)
    assert (told["event"], told["text"], told["level"]) == ("told", "the disk is full", "warning")
