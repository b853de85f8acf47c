"""The HTTP side as the daemon starts it: a process of its own, of lower priority, that cannot slow the cycle.

It shares no interpreter lock with the cycle, takes what is left of the processors, and reads the ledger through
connections that cannot write. The daemon holds the listening socket, tells it once a second how it is, and starts it
again should it end.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from dacycle.binding import environment
from dacycle.cycler.config import Config
from dacycle.cycler.service.health import Health
from dacycle.errors import StateError

__all__ = ["Served", "listen", "served"]

WORD_SECONDS = 1.0
RESTART_SECONDS = 2.0


def listen(config: Config) -> socket.socket:
    """The listening socket; StateError in one line where the address is taken or not ours."""
    host, port = config.service.host, config.service.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, reuse_port=False, backlog=256)
    except OSError as error:
        code = error.errno or 0
        told = os.strerror(code) if code > 0 else str(error)
        hint = "set [service] host and port (or DACYCLE_SERVICE__PORT)"
        raise StateError(f"cannot listen on {host}:{port}: {told}; {hint}") from error


class Served:
    """Keeps the process running and informed, from a thread of its own."""

    def __init__(self, config: Config, health: Health, listening: socket.socket) -> None:
        self.config, self.health, self.listening = config, health, listening
        self._log = structlog.get_logger("dacycle.http")
        self._stopping, self._soon, self._again = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="http", daemon=True)

    def start(self) -> None:
        """Returns at once: connections wait in the listening socket's queue meanwhile."""
        self._thread.start()

    def tell(self) -> None:
        """Something changed: pass it on without waiting for the next second."""
        self._soon.set()

    def renew(self, config: Config) -> None:
        """Go on with another configuration."""
        self.config = config
        self._again.set()
        self._soon.set()

    def stop(self) -> None:
        """Let running answers end, for two seconds at most."""
        self._stopping.set()
        self._soon.set()
        self._thread.join(6.0)
        with contextlib.suppress(OSError):
            self.listening.close()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._again.clear()
            with _process(self.config, self.listening) as process:
                self._inform(process)
            if not (self._stopping.is_set() or self._again.is_set()):
                self._log.warning("http_ended", code=process.returncode)
                self._stopping.wait(RESTART_SECONDS)

    def _inform(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        while process.poll() is None and not (self._stopping.is_set() or self._again.is_set()):
            try:
                process.stdin.write(self.health.said().line())
                process.stdin.flush()
            except OSError:
                return
            self._soon.wait(WORD_SECONDS)
            self._soon.clear()


@contextmanager
def _process(config: Config, listening: socket.socket) -> "Iterator[subprocess.Popen[bytes]]":
    descriptor = listening.fileno()
    command = [sys.executable, "-m", "dacycle.cycler.service.server", str(descriptor)]
    told = json.dumps(config.model_dump(mode="json")).encode() + b"\n"
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=[descriptor], env={**os.environ, **environment()}
    )
    assert process.stdin is not None
    try:
        with contextlib.suppress(OSError):
            process.stdin.write(told)
        yield process
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(4.0)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def served(config: Config, health: Health, listening: socket.socket) -> Iterator[Served]:
    """Serve while the block runs."""
    keeper = Served(config, health, listening)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop()
