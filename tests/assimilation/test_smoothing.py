"""Smoothing on the sphere: of one degree so much is kept as is said, by latitude, and the adjoint is the adjoint."""

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.smoothing import Smoothing, tropics
from dacycle.emulators.grid import bilinear, gaussian_grid

GRID = gaussian_grid(24, 48)
KEPT = torch.stack([torch.linspace(1.0, 0.1, 9), torch.linspace(1.0, 0.6, 9)])


@pytest.mark.parametrize("degree", [0, 3, 8, 11])
def test_of_every_degree_so_much_is_kept(degree: int) -> None:
    """A field of one degree is multiplied by a share that depends on latitude alone; beyond the last degree it is 0."""
    whole = Smoothing(GRID, torch.ones(2, 12)).harmonics
    a = torch.zeros(3, 144)
    a[:, degree**2 : (degree + 1) ** 2] = torch.randn(3, 2 * degree + 1, generator=torch.Generator().manual_seed(1))
    field = whole.synthesise(a)
    shares = KEPT[:, degree] if degree < KEPT.shape[1] else torch.zeros(2)
    within = tropics(GRID)[:, None]
    expected = (within * shares[0] + (1 - within) * shares[1]) * field
    torch.testing.assert_close(Smoothing(GRID, KEPT)(field), expected, rtol=1e-4, atol=1e-4)


def test_the_tropics_end_gradually() -> None:
    within = tropics(GRID).numpy()
    assert (within[np.abs(GRID.lat) <= 10] == 1).all()
    assert (within[np.abs(GRID.lat) >= 40] == 0).all()
    np.testing.assert_allclose(within[5:12], (40 - GRID.lat[5:12]).clip(0, 30) / 30, atol=1e-6)


def test_adjoint() -> None:
    smoothing, generator = Smoothing(GRID, KEPT), torch.Generator().manual_seed(2)
    u, v = torch.randn(2, 3, 2, *GRID.shape, generator=generator)
    torch.testing.assert_close((smoothing(u) * v).sum(), (u * smoothing.adjoint(v)).sum(), rtol=1e-4, atol=1e-2)


def test_what_is_kept_at_places() -> None:
    corners, weights = bilinear(GRID, np.array([2.0, -25.0, 77.0]), np.array([3.0, 359.0, 100.0]))
    found = Smoothing(GRID, KEPT).at(torch.as_tensor(corners), torch.as_tensor(weights, dtype=torch.float32), 10)
    assert found.shape == (3, 100)
    assert (found[:, 81:] == 0).all()
    torch.testing.assert_close(found[0, 64:81], KEPT[0, 8].expand(17))
    torch.testing.assert_close(found[1, 64:81], KEPT[:, 8].mean().expand(17), rtol=0.01, atol=0)
    torch.testing.assert_close(found[2, 64:81], KEPT[1, 8].expand(17))
