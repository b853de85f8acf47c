"""One event per decision: a JSON object a line, or coloured text for people. Libraries' loggers take the same way.

What is bound (cycle, stream, stage) is on every line of that thread; ``dacycle.binding`` carries it further.
"""

import logging
import math
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from dacycle.binding import adopt
from dacycle.cycler.config import Log

__all__ = ["configure", "finite_numbers"]

QUIET = ("apscheduler", "uvicorn", "httpx", "httpcore", "asyncio")
"""Libraries whose own messages matter only when something is wrong."""


def finite_numbers(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """NaN and infinity become null: JSON knows neither."""
    return {key: _finite(value) for key, value in event.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def configure(log: Log, stream: TextIO | None = None) -> None:
    """Set up logging of the whole process; stdout unless a stream is given."""
    adopt()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    out = stream or sys.stdout
    rendering: list[Any]
    if log.format == "json" or (log.format == "auto" and not out.isatty()):
        rendering = [structlog.processors.format_exc_info, finite_numbers, structlog.processors.JSONRenderer()]
    else:
        rendering = [
            structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(out)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[strip, *rendering]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
