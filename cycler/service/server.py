"""The HTTP side's own process, started by ``serving.py`` as ``server.py DESCRIPTOR``.

Standard input brings the configuration, then the daemon's word, a line at a time. The process ends with that stream,
so that it never outlives the daemon.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import IO

import uvicorn
from starlette.applications import Starlette

from dacycle.cycler.config import Config
from dacycle.cycler.logs import configure
from dacycle.cycler.service.guard import ImpatientProtocol
from dacycle.cycler.service.health import Word
from dacycle.cycler.service.http import application

__all__ = ["Heard", "QuietServer", "main", "server"]

NICENESS = 15
"""A thirtieth of a processor where the cycle wants them all: about two hundred answers a second."""
SILENT_SECONDS = 60.0


class Heard:
    """The daemon's last word, with the clock running on."""

    def __init__(self, word: Word) -> None:
        self.word, self._at = word, time.monotonic()

    def hear(self, word: Word) -> None:
        """A newer one."""
        self.word, self._at = word, time.monotonic()

    def said(self) -> Word:
        """The last word; silence is a word, too."""
        silent = time.monotonic() - self._at
        now = self.word.now + timedelta(seconds=int(self.word.speed * silent))
        if silent < SILENT_SECONDS:
            return replace(self.word, now=now)
        return replace(self.word, now=now, stalled=f"the daemon has said nothing for {silent:.0f} seconds")


class QuietServer(uvicorn.Server):
    """Leaves signals alone: the daemon says when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


def server(app: Starlette) -> QuietServer:
    """A server with the limits that go with it."""
    return QuietServer(
        uvicorn.Config(
            app,
            http=ImpatientProtocol,
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
            limit_concurrency=200,
        )
    )


def main(descriptor: int, words: IO[bytes]) -> int:
    """Serve until the words end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where a sandbox forbids it, the priority stays
        os.nice(NICENESS)
    config = Config.model_validate_json(words.readline())
    configure(config.log)
    heard = Heard(Word.of(words.readline()))
    running = server(application(config, heard))

    def listen_to_words() -> None:
        for line in words:
            heard.hear(Word.of(line))
        running.should_exit = True

    threading.Thread(target=listen_to_words, name="words", daemon=True).start()
    with socket.socket(fileno=descriptor) as listening:
        asyncio.run(running.serve(sockets=[listening]))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.stdin.buffer))
