"""The HTTP side in a thread of the test, with a daemon that says what the test wants."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from dacycle.cycler.config import Config
from dacycle.cycler.service.health import Word
from dacycle.cycler.service.http import application
from dacycle.cycler.service.server import server
from dacycle.cycler.service.serving import listen

__all__ = ["Fine", "site"]


class Fine:
    """A daemon that is well, unless told otherwise."""

    def __init__(self, now: datetime, busy: str = "") -> None:
        self.word = Word(now, busy=busy)

    def said(self) -> Word:
        return self.word

    def says(self, **changes: object) -> None:
        self.word = replace(self.word, **changes)  # type: ignore[arg-type]


@contextmanager
def site(config: Config, health: Fine) -> Iterator[str]:
    """Its address while the block runs."""
    listening = listen(config)
    running = server(application(config, health))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(5.0)
        listening.close()
