"""The solver of the probability flow against the exact flow of a scalar Gaussian."""

import math

import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adams_bashforth import mean_over_step
from dacycle.cycler.assimilation.methods import SOLVERS
from dacycle.cycler.assimilation.sampler import STEPS, geometric_ladder, karras_ladder, sample

VARIANCE = 2.0


def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
    return x * VARIANCE / (VARIANCE + sigma[:, None] ** 2)


def exact(x: float, start: float, end: float) -> float:
    """The flow keeps x / sqrt(v + sigma^2) constant; the last denoising multiplies by v / (v + sigma^2)."""
    return x * math.sqrt((VARIANCE + end**2) / (VARIANCE + start**2)) * VARIANCE / (VARIANCE + end**2)


def error(steps: int, solver: str = "multistep") -> float:
    ladder = karras_ladder(20.0, 0.02, steps)
    x = sample(denoiser, torch.tensor([[10.0]], dtype=torch.float64), ladder, solver=solver)
    return abs(float(x) - exact(10.0, 20.0, 0.02))


def test_the_ladder_runs_from_the_largest_to_the_smallest_level() -> None:
    ladder = karras_ladder(80.0, 0.002, 18)
    assert ladder[0] == pytest.approx(80.0)
    assert ladder[-1] == pytest.approx(0.002)
    assert ladder == sorted(ladder, reverse=True)
    assert karras_ladder(5.0, 0.1, 1) == [5.0]
    assert geometric_ladder(8.0, 0.5, 5) == pytest.approx([8.0, 4.0, 2.0, 1.0, 0.5])
    assert geometric_ladder(5.0, 0.1, 1) == [5.0]


@pytest.mark.parametrize(
    ("solver", "order", "first"),
    [("multistep", 2, 0.03), ("euler", 1, 0.2), ("heun", 2, 0.05), ("ab2", 2, 0.05), ("ab3", 3, 0.05)],
)
def test_every_solver_converges_with_its_order(solver: str, order: int, first: float) -> None:
    assert error(16, solver) < first * exact(10.0, 20.0, 0.02)
    assert error(128, solver) < error(64, solver) / (0.8 * 2**order)


def test_the_registry_names_every_solver() -> None:
    assert set(SOLVERS) == set(STEPS)


def test_adams_bashforth_is_exact_for_polynomials_in_the_logarithm() -> None:
    """The mean over d(1 / sigma) of 1, p, p^2 with p = ln sigma, against fine quadrature."""
    levels, target = [3.0, 1.0, 0.5], 0.2
    t = torch.linspace(1 / 0.5, 1 / target, 200_001, dtype=torch.float64)
    for power in range(3):
        expected = float((-t.log()).pow(power).mean())
        found = sum(
            w * math.log(level) ** power for w, level in zip(mean_over_step(levels, target), levels, strict=True)
        )
        assert found == pytest.approx(expected, rel=1e-4)


def test_the_stochastic_solver_draws_the_prior() -> None:
    generator = torch.Generator().manual_seed(0)

    def noise() -> Tensor:
        return torch.randn(20_000, 1, generator=generator)

    x = sample(denoiser, 20.0 * noise(), karras_ladder(20.0, 0.02, 250), solver="stochastic", noise=noise)
    assert float(x.var()) == pytest.approx(VARIANCE, rel=0.06)
    with pytest.raises(ValueError, match="needs noise"):
        sample(denoiser, x, [2.0, 1.0], solver="stochastic")


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
