"""How much 200 requests a second slow a cycle. Usage: python -m tests.benchmarks.http_load

Cycles of the demo's soundings with the default bundle, twice over. The requests begin and end with every step of one
(a denoiser call, a product, a stage), so that a machine that is now faster and now slower does not decide: what is done
alone in one pass is done beside requests in the other. They go to the HTTP process of the same state directory; the
client sends when a request is due, whether or not the last ones were answered, as many clients would, and has the
lowest priority, for in real life it is other machines.
"""

import multiprocessing
import os
import selectors
import socket
import statistics
import tempfile
import time
from collections import deque
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.progress import Progress
from dacycle.cycler.experiments.demo import ARCHIVE
from dacycle.cycler.service.health import Word
from dacycle.cycler.service.serving import listen, served

TIME = datetime(2001, 8, 25, tzinfo=UTC)
PATHS = ("/api/v1/status", "/api/v1/cycles", "/api/v1/events", "/parts/now", "/parts/cycles", "/metrics")
RATE = 200.0
CONNECTIONS = 16
CYCLES = 8


class Idle:
    """A daemon that is well."""

    def said(self) -> Word:
        """Nothing to say."""
        return Word(TIME)


class Connection:
    """One keep-alive connection; what it has asked and not yet got is ``waiting``."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.waiting, self._got, self._wanted = False, bytearray(), -1

    def ask(self, path: str) -> None:
        """Send a request."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.waiting = True

    def read(self) -> bool:
        """Take what has come; whether that completes an answer. OSError when the server hung up."""
        block = self.socket.recv(2**18)
        if not block:
            raise OSError
        self._got += block
        if self._wanted < 0 and (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._got[:end]).lower()
            if not head.startswith(b"http/1.1 200"):
                raise AssertionError(head)
            self._wanted = end + 4 + int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        if self._wanted < 0 or len(self._got) < self._wanted:
            return False
        self.waiting, self._got, self._wanted = False, bytearray(), -1
        return True


def ask(port: int, asking: Event, asked: Any, answered: Any) -> None:
    """Two hundred a second, as long as the event is set; what finds no free connection waits its turn."""
    os.nice(19)
    selector = selectors.DefaultSelector()
    free: deque[Connection] = deque()
    number, backlog, due = 0, 0, time.monotonic()
    while True:
        if not asking.is_set():
            asking.wait()
            due, backlog = time.monotonic(), 0
        while due <= time.monotonic():
            backlog, due = backlog + 1, due + 1.0 / RATE
            asked.value += 1
        while backlog:
            if not free and len(selector.get_map()) < CONNECTIONS:
                free.append(connection := Connection(port))
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            if not free:
                break
            try:
                free.popleft().ask(PATHS[number % len(PATHS)])
                number, backlog = number + 1, backlog - 1
            except OSError:
                continue  # the server closes idle connections: its end of file comes through the selector
        for key, _ in selector.select(max(0.0, due - time.monotonic())):
            connection = key.data
            try:
                if connection.read():
                    answered.value += 1
                    free.append(connection)
            except OSError:
                selector.unregister(connection.socket)
                connection.socket.close()
                if connection in free:
                    free.remove(connection)


class Stopwatch:
    """Seconds of every step of the cycles, with and without requests by turns."""

    def __init__(self, asking: Event, first: bool) -> None:
        self.asking, self.loaded = asking, first
        self.took: dict[tuple[str, int], tuple[bool, float]] = {}
        self._cycle, self._since, self._number = "", 0.0, 0

    def observe(self, progress: Progress) -> None:
        """A step ends, the next one begins."""
        now = time.monotonic()
        if progress.point == "cycle_begin":
            self._cycle, self._number = f"{progress.time:%Y-%m-%dT%H}", 0
        else:
            self._number += 1
            self.took[self._cycle, self._number] = self.loaded, now - self._since
        self.loaded = not self.loaded
        (self.asking.set if self.loaded else self.asking.clear)()
        self._since = time.monotonic()


def measured(first: bool) -> dict[tuple[str, int], tuple[bool, float]]:
    """One pass."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(
            {
                "paths": {"state": Path(folder) / "served"},
                "source": {"location": str(ARCHIVE)},
                "cycle": {"first": TIME},
                "ensemble": {"members": 4, "chunk": 2},
                "assimilation": {"steps": 8},
                "service": {"port": 0},
            }
        )
        listening = listen(config)
        asking = multiprocessing.Event()
        asked, answered = multiprocessing.Value("i", 0), multiprocessing.Value("i", 0)
        client = multiprocessing.Process(
            target=ask, args=(listening.getsockname()[1], asking, asked, answered), daemon=True
        )
        client.start()
        watch = Stopwatch(asking, first)
        with served(config, Idle(), listening), open_engine(config, TIME, watch.observe) as engine:
            for number in range(CYCLES + 1):
                engine.run(TIME + number * config.interval, TIME + number * config.interval)
                asking.clear()
        client.terminate()
        loaded = sum(seconds for on, seconds in watch.took.values() if on)
        print(f"{asked.value / loaded:.0f} requests due, {answered.value / loaded:.0f} answered a second", flush=True)
    return watch.took


def main() -> None:
    """Both passes, and their ratio, cycle by cycle."""
    passes = [measured(first=False), measured(first=True)]
    alone: dict[str, float] = {}
    beside: dict[str, float] = {}
    warm = f"{TIME:%Y-%m-%dT%H}"  # the first cycle loads the models
    for step in passes[0].keys() & passes[1].keys():
        if step[0] == warm or passes[0][step][0] == passes[1][step][0]:
            continue
        for loaded, seconds in (passes[0][step], passes[1][step]):
            sums = beside if loaded else alone
            sums[step[0]] = sums.get(step[0], 0.0) + seconds
    ratios = [100 * (beside[cycle] / alone[cycle] - 1) for cycle in sorted(alone)]
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    print(f"alone {sum(alone.values()):.1f} s, beside requests {sum(beside.values()):.1f} s: ", end="")
    print(f"slower by {statistics.mean(ratios):+.1f} ± {error:.1f} %; cycles: {', '.join(f'{r:+.1f}' for r in ratios)}")


if __name__ == "__main__":
    main()
