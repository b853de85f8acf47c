"""Which cycle and stage a log line belongs to, carried into threads and processes.

structlog keeps what is bound in context variables, which neither a pool's threads nor another process see by
themselves: a pool is given ``carried(function)``, a process ``environment()``.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import ParamSpec, TypeVar

import structlog

__all__ = ["VARIABLE", "adopt", "carried", "environment"]

P = ParamSpec("P")
R = TypeVar("R")
VARIABLE = "DACYCLE_LOG_CONTEXT"


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, to be called in another thread with the log context of this one; several calls may overlap."""
    context = copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return call


def environment() -> dict[str, str]:
    """What a child process needs besides the environment to bind what is bound here."""
    bound = {key: str(value) for key, value in structlog.contextvars.get_contextvars().items()}
    return {VARIABLE: json.dumps(bound)} if bound else {}


def adopt(environ: Mapping[str, str] = os.environ) -> None:
    """Bind what the parent process had bound."""
    try:
        bound = json.loads(environ.get(VARIABLE, "{}"))
    except ValueError:
        return
    if isinstance(bound, dict):
        structlog.contextvars.bind_contextvars(**bound)
