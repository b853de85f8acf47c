"""The balance is found again in a world that has one."""

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.smoothing import Smoothing
from dacycle.cycler.training.balance import fit_balance, in_control
from dacycle.cycler.training.frames import Frames
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.spectral import Harmonics

CHANNELS = ("u850", "v850", "z850")
GRID, COUNT = gaussian_grid(32, 64), 400
DEGREES = 16
KEPT = 1 / (1 + (torch.arange(DEGREES) / torch.tensor([[9.0], [12.0]])) ** 4)  # in the tropics less
STD = np.full((3, *GRID.shape), 3.0, np.float32)


def world() -> tuple[Balance, Frames]:
    """Winds along the isolines of height, the other way round across the equator, and a part of their own."""
    lat = torch.as_tensor(np.deg2rad(GRID.lat), dtype=torch.float32)[:, None].expand(GRID.shape)
    slope = torch.sin(lat)
    coefficients = torch.stack([torch.stack([0 * slope, -slope]), torch.stack([slope, 0 * slope])])
    true = Balance(CHANNELS, STD, coefficients, 0.3 + 0.2 * torch.cos(lat).repeat(2, 1, 1), Smoothing(GRID, KEPT))
    generator, harmonics = torch.Generator().manual_seed(6), Harmonics(GRID, DEGREES)
    power = (1 / (1 + harmonics.degree.float())).sqrt()
    y = harmonics.synthesise(power * torch.randn(COUNT, 3, 256, generator=generator))
    y[:, :2] = torch.randn(COUNT, 2, *GRID.shape, generator=generator)
    return true, Frames(true.state(y).half(), torch.zeros(COUNT, 4))


def test_coefficients_and_the_spread_of_what_is_left_are_those_of_the_world() -> None:
    true, frames = world()
    found = fit_balance(frames, GRID, CHANNELS, STD, DEGREES, stride=1)
    off = (found.coefficients - true.coefficients).square().mean().sqrt()
    assert off < 0.1 * true.coefficients.square().mean().sqrt()
    assert found.smoothing is not None
    # In the tropics of this world winds follow next to nothing, and its bounds blur.
    for ours, theirs, off in zip(found.smoothing.kept, KEPT, (0.2, 0.12), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=off)
    torch.testing.assert_close(found.spread, true.spread, rtol=0.2, atol=0.0)
    y = in_control(frames, found).values.float()
    assert y[:, :2].square().mean().item() == pytest.approx(1.0, abs=0.05)
    heights = y[:, 2]
    for wind in (y[:, 0], y[:, 1]):  # nothing of the heights is left in the winds
        assert abs(float((wind * torch.roll(heights, 1, -1)).mean())) < 0.02
