"""Which cycle and stage a log line belongs to, carried into threads and processes.

structlog keeps what is bound in context variables, which neither a pool's threads nor another process see by
themselves: a pool is given ``carried(function)``, a process ``environment()``, a worker elsewhere ``bound()``.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import ParamSpec, TypeVar

import structlog

__all__ = ["VARIABLE", "adopt", "bound", "carried", "environment"]

P = ParamSpec("P")
R = TypeVar("R")
VARIABLE = "DACYCLE_LOG_CONTEXT"


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, to be called in another thread with the log context of this one; several calls may overlap."""
    context = copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return call


def bound() -> dict[str, str]:
    """What is bound here, to be bound elsewhere while a piece of work is done."""
    return {key: str(value) for key, value in structlog.contextvars.get_contextvars().items()}


def environment() -> dict[str, str]:
    """What a child process needs besides the environment to bind what is bound here."""
    told = bound()
    return {VARIABLE: json.dumps(told)} if told else {}


def adopt(environ: Mapping[str, str] = os.environ) -> None:
    """Bind what the parent process had bound."""
    try:
        told = json.loads(environ.get(VARIABLE, "{}"))
    except ValueError:
        return
    if isinstance(told, dict):
        structlog.contextvars.bind_contextvars(**told)
