"""Outside programs and packages that tests compare with."""

import importlib
import os
import shutil
from types import ModuleType

import pytest

__all__ = ["require_module", "require_tool"]


def require_tool(name: str) -> str:
    """The path of a program; without it the test is skipped, and fails where CI=true promises that it is there."""
    if (path := shutil.which(name)) is None:
        _absent(f"the program {name} is not installed")
    return str(path)


def require_module(name: str) -> ModuleType:
    """A Python package that only tests use; skipped or failed as for programs."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return _absent(f"the Python package {name} is not installed")


def _absent(reason: str) -> ModuleType:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true")
    pytest.skip(reason)
