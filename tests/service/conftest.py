"""Logging as the daemon sets it up, and put back afterwards; engines on the small world."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from dacycle.cycler.config import Log
from dacycle.cycler.cycle.engine import Engine, open_engine
from dacycle.cycler.logs import configure
from tests.cycle.small_world import START, config, hours, soundings
from tests.service.worlds import Open


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """JSON on stdout, which pytest keeps."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure(Log())
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return soundings(tmp_path / "archive", [hours(0), hours(12)])


@pytest.fixture
def opened(tmp_path: Path, archive: Path, tiny_bundle_path: Path) -> Iterator[Open]:
    contexts = []

    def make(root: Path = tmp_path, assimilation: dict[str, Any] | None = None, **cycle: Any) -> Engine:
        keys = {"first": START, "cutoff_hours": 12, "cutoff_max_hours": 48, "early_stream": False, **cycle}
        small = {"members": 2, "chunk": 2, "threads": 1}
        chosen = config(root, archive, tiny_bundle_path, cycle=keys, ensemble=small, assimilation=assimilation or {})
        context = open_engine(chosen, hours(0))
        contexts.append(context)
        return context.__enter__()

    yield make
    for context in contexts:
        context.__exit__(None, None, None)
