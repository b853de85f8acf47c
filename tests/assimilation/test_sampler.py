"""The solver of the probability flow against the exact flow of a scalar Gaussian."""

import math

import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.sampler import karras_ladder, sample

VARIANCE = 2.0


def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
    return x * VARIANCE / (VARIANCE + sigma[:, None] ** 2)


def exact(x: float, start: float, end: float) -> float:
    """The flow keeps x / sqrt(v + sigma^2) constant; the last denoising multiplies by v / (v + sigma^2)."""
    return x * math.sqrt((VARIANCE + end**2) / (VARIANCE + start**2)) * VARIANCE / (VARIANCE + end**2)


def error(steps: int) -> float:
    x = sample(denoiser, torch.tensor([[10.0]]), karras_ladder(20.0, 0.02, steps))
    return abs(float(x) - exact(10.0, 20.0, 0.02))


def test_the_ladder_runs_from_the_largest_to_the_smallest_level() -> None:
    ladder = karras_ladder(80.0, 0.002, 18)
    assert ladder[0] == pytest.approx(80.0)
    assert ladder[-1] == pytest.approx(0.002)
    assert ladder == sorted(ladder, reverse=True)
    assert karras_ladder(5.0, 0.1, 1) == [5.0]


def test_the_solver_converges_with_second_order() -> None:
    assert error(16) < 0.03 * exact(10.0, 20.0, 0.02)
    assert error(64) < error(32) / 3.0


def test_one_call_per_level_and_the_check_before_each() -> None:
    calls: list[float] = []
    checks: list[int] = []

    def counting(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(float(sigma[0]))
        return denoiser(x, sigma)

    ladder = karras_ladder(5.0, 0.03, 7)
    sample(counting, torch.ones(1, 1), ladder, lambda: checks.append(len(calls)))
    assert calls == pytest.approx(ladder)
    assert checks == list(range(7))
