"""The daemon as systemd would hear it: a listener on the socket that NOTIFY_SOCKET names."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.cycle.small_world import START, config, hours, soundings, toml
from tests.service.test_daemon import ENVIRONMENT, ROOT, command


def test_ready_then_watchdog_then_stopping(tmp_path: Path, tiny_bundle_path: Path) -> None:
    source = soundings(tmp_path / "archive", [hours(0)])
    cycle = {"first": START, "cutoff_hours": 12, "cutoff_max_hours": 240}
    path = toml(tmp_path / "dacycle.toml", config(tmp_path, source, tiny_bundle_path, cycle=cycle))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(120)
        environment = {**ENVIRONMENT, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "900000"}
        environment.pop("WATCHDOG_PID", None)
        with subprocess.Popen(
            command(path, hours(18)), stdout=subprocess.DEVNULL, env=environment, cwd=ROOT
        ) as process:
            try:
                told = [listening.recv(4096).decode()]
                while sum(text.startswith("WATCHDOG=1") for text in told) < 3:
                    told.append(listening.recv(4096).decode())
                os.kill(process.pid, signal.SIGTERM)
                while not told[-1].startswith("STOPPING=1"):
                    told.append(listening.recv(4096).decode())
                assert process.wait(60) == 0
            finally:
                process.kill()
    assert told[0].startswith("READY=1\nSTATUS=listening on 127.0.0.1:")
    assert {text.split("\n")[0] for text in told[1:-1]} == {"WATCHDOG=1"}
