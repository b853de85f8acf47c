"""How much 200 requests a second slow a cycle. Usage: python -m tests.benchmarks.http_load

Real cycles of the demo's soundings with the default bundle, by turns alone and while a client asks the API of the
HTTP process on the same state directory; the client has the lowest priority, for in real life it is another machine.
"""

import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.experiments.demo import ARCHIVE
from dacycle.cycler.service.health import Word
from dacycle.cycler.service.serving import listen, served

TIME = datetime(2001, 8, 25, tzinfo=UTC)
PATHS = ("/api/v1/status", "/api/v1/cycles", "/api/v1/events", "/parts/now", "/parts/cycles", "/metrics")
RATE = 200.0
CYCLES = 8


class Idle:
    """A daemon that is well."""

    def said(self) -> Word:
        return Word(TIME)


def ask(port: int, asking: Any, answered: Any) -> None:
    """Two hundred a second over eight connections, as long as the event is set."""
    os.nice(19)
    open_connections: list[socket.socket] = []
    due, number = time.monotonic(), 0
    while True:
        if not asking.wait(0.2):
            due = time.monotonic()
            continue
        if len(open_connections) < 8:
            open_connections.append(socket.create_connection(("127.0.0.1", port)))
        connection = open_connections[number % len(open_connections)]
        try:
            connection.sendall(f"GET {PATHS[number % len(PATHS)]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                block = connection.recv(65536)
                if not block:
                    raise OSError
                head += block
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            rest = length - len(head.split(b"\r\n\r\n", 1)[1])
            while rest > 0:
                rest -= len(connection.recv(65536))
            answered.value += 1
        except (OSError, IndexError):
            open_connections.remove(connection)
        number += 1
        due += 1.0 / RATE
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic() - 0.5)


def main() -> None:
    """Alternate, and compare the medians."""
    with tempfile.TemporaryDirectory() as folder:
        ensemble = {"members": 4, "chunk": 4}
        config = Config.model_validate(
            {
                "paths": {"state": Path(folder) / "served"},
                "source": {"location": str(ARCHIVE)},
                "cycle": {"first": TIME},
                "ensemble": ensemble,
                "assimilation": {"steps": 8},
                "service": {"port": 0},
            }
        )
        took: dict[bool, list[float]] = {False: [], True: []}
        listening = listen(config)
        asking, answered = multiprocessing.Event(), multiprocessing.Value("i", 0)
        client = multiprocessing.Process(target=ask, args=(listening.getsockname()[1], asking, answered), daemon=True)
        client.start()
        with served(config, Idle(), listening), open_engine(config, TIME) as engine:
            engine.run(TIME, TIME)  # warm: models loaded, something to serve
            for number in range(1, CYCLES + 1):
                if loaded := number % 2 == 0:
                    asking.set()
                time.sleep(1.0)
                when = TIME + number * config.interval
                before, began = answered.value, time.monotonic()
                engine.run(when, when)
                seconds = time.monotonic() - began
                asked = (answered.value - before) / seconds
                asking.clear()
                took[loaded].append(seconds)
                how = "with" if loaded else "without"
                print(f"{how} requests: {seconds:.2f} s, {asked:.0f} answers a second", flush=True)
        client.terminate()
    alone, beside = statistics.median(took[False]), statistics.median(took[True])
    print(f"median {alone:.2f} s alone, {beside:.2f} s with requests: {100 * (beside / alone - 1):+.1f} %")


if __name__ == "__main__":
    main()
