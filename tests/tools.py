"""Outside programs and packages that tests compare with."""

import importlib
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

__all__ = ["require_module", "require_tool"]


def require_tool(name: str) -> str:
    """The path of a program; without it the test is skipped, and fails where CI=true promises that it is there."""
    # A program that came with a Python package lies beside the interpreter, whether or not that is on the path.
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if (path := shutil.which(name, path=beside)) is None:
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
