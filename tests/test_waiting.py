"""How long threads wait awake, as torch's OpenMP tells it itself."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from dacycle.cycler.main import main
main(["config", "default"])
import torch
torch.ones(1_000_000).sum()
"""


def told(**environment: str) -> str:
    """What libgomp says of its settings when a command has begun and torch is loaded."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    env = {**kept, "OMP_DISPLAY_ENV": "verbose", **environment}
    text = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True).stderr
    if "GOMP_SPINCOUNT" not in text:
        pytest.skip("torch's OpenMP is not libgomp")
    return text


def test_threads_wait_briefly_unless_the_environment_says_otherwise() -> None:
    assert "GOMP_SPINCOUNT = '1000'" in told()
    assert "GOMP_SPINCOUNT = '5'" in told(GOMP_SPINCOUNT="5")
    assert "GOMP_SPINCOUNT = '1000'" not in told(OMP_WAIT_POLICY="active")
