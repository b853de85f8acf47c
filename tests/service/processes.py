"""The daemon as a process of its own, whose log is read line by line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from tests.cycle.outcomes import outcome
from tests.cycle.small_world import hours, toml

__all__ = ["ENVIRONMENT", "NOW", "ROOT", "Running", "command", "running", "settled"]

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    "OMP_NUM_THREADS": "1",
}
NOW = hours(30)


class Running:
    """A daemon whose log lines are read one by one."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """Read on to the next such event; fails with what there was when the log ends first."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            self.log.append(told)
            if told["event"] == event and fields.items() <= told.items():
                return told
        pytest.fail(f"no {event} {fields}; log: {self.log}; {self.process.stderr and self.process.stderr.read()}")

    def end(self) -> int:
        """The rest of the log, then the exit code."""
        assert self.process.stdout is not None
        self.log += [json.loads(line) for line in self.process.stdout]
        return self.process.wait()

    def events(self) -> list[str]:
        return [told["event"] for told in self.log]


def command(path: Path, now: datetime) -> list[str]:
    return [sys.executable, "-m", "tests.service.running", str(path), now.isoformat()]


@contextmanager
def running(chosen: Config, now: datetime = NOW, **environment: str) -> Iterator[Running]:
    """A daemon that is killed at the end of the block, if it is still there."""
    path = toml(chosen.paths.state.parent / "dacycle.toml", chosen)
    arguments = command(path, now)
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **environment},
        cwd=ROOT,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def settled(chosen: Config) -> dict[str, Any]:
    """The outcome of a daemon that has ended, once the next start let go of what that one had no time for."""
    with open_engine(chosen, NOW):
        pass
    return outcome(chosen)
