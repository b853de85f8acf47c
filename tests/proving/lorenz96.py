"""The model of Lorenz (1996): dx_i / dt = (x_i+1 - x_i-2) x_i-1 - x_i + F on a ring of 40 variables, F = 8."""

import torch
from torch import Tensor

__all__ = ["DIMENSION", "ring_distance", "step", "trajectory"]

DIMENSION, FORCING, TIME_STEP = 40, 8.0, 0.05


def tendency(x: Tensor) -> Tensor:
    """(..., 40) -> (..., 40)."""
    return (x.roll(-1, -1) - x.roll(2, -1)) * x.roll(1, -1) - x + FORCING


def step(x: Tensor, dt: float = TIME_STEP) -> Tensor:
    """One step of the fourth-order Runge-Kutta scheme."""
    k1 = tendency(x)
    k2 = tendency(x + dt / 2 * k1)
    k3 = tendency(x + dt / 2 * k2)
    k4 = tendency(x + dt * k3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def trajectory(steps: int, runs: int, seed: int, spin_up: int = 400) -> Tensor:
    """(steps, runs, 40): independent runs after a spin-up, double precision."""
    generator = torch.Generator().manual_seed(seed)
    x = FORCING + torch.randn(runs, DIMENSION, generator=generator, dtype=torch.float64)
    for _ in range(spin_up):
        x = step(x)
    states = []
    for _ in range(steps):
        x = step(x)
        states.append(x)
    return torch.stack(states)


def ring_distance() -> Tensor:
    """(40, 40): how many places variables are apart."""
    k = torch.arange(DIMENSION)
    apart = (k[:, None] - k).abs()
    return torch.minimum(apart, DIMENSION - apart).double()
