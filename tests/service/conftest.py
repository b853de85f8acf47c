"""Logging as the daemon sets it up, and put back afterwards."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from dacycle.cycler.config import Log
from dacycle.cycler.service.logging import configure


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """JSON on stdout, which pytest keeps."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure(Log())
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level
