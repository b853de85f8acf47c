"""The HTTP side in a thread of the test, with a daemon that says what the test wants."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.service.health import Word
from dacycle.cycler.service.http import application
from dacycle.cycler.service.server import server
from dacycle.cycler.service.serving import listen
from tests.cycle.small_world import START, config, hours, soundings

__all__ = ["TOKEN", "Fine", "site", "two_published", "writable"]

TOKEN = "correct-horse-battery-staple"


class Fine:
    """A daemon that is well, unless told otherwise."""

    def __init__(self, now: datetime, busy: str = "") -> None:
        self.word = Word(now, busy=busy)

    def said(self) -> Word:
        return self.word

    def says(self, **changes: object) -> None:
        self.word = replace(self.word, **changes)  # type: ignore[arg-type]


@contextmanager
def site(chosen: Config, health: Fine) -> Iterator[str]:
    """Its address while the block runs."""
    listening = listen(chosen)
    running = server(application(chosen, health))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(5.0)
        listening.close()


@contextmanager
def writable(world: Config, token: str = TOKEN) -> Iterator[str]:
    """A site that takes requests of those who know the token."""
    path = world.paths.state.parent / "token"
    path.write_text(token + "\n")
    service = world.service.model_copy(update={"token_file": path})
    with site(world.model_copy(update={"service": service}), Fine(hours(21))) as told:
        yield told


def two_published(root: Path, bundle: Path) -> Config:
    """A world with two cycles published, which a look has entered."""
    chosen = config(root, soundings(root / "archive", [hours(0), hours(12)]), bundle, cycle={"first": START})
    with open_engine(chosen, hours(20)) as engine:
        engine.run(hours(0), hours(20))
        engine.run(hours(12), hours(20))
        engine.look(hours(20))
    return chosen
