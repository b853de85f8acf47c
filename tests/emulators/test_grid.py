"""Grids, interpolation and spherical harmonics against closed forms."""

import numpy as np
import pytest
import torch

from dacycle.emulators.grid import bilinear, gaussian_grid
from dacycle.emulators.spectral import Harmonics


def test_gaussian_latitudes_of_t62_begin_as_published() -> None:
    """The 94-row grid of the NCEP reanalyses: 88.542, 86.653, 84.753 degrees north."""
    np.testing.assert_allclose(gaussian_grid(94, 192).lat[:3], [88.542, 86.6531, 84.7532], atol=5e-4)


def test_area_mean_of_squared_sine_of_latitude_is_a_third() -> None:
    grid = gaussian_grid(16, 32)
    field = np.repeat(np.sin(np.deg2rad(grid.lat))[:, None] ** 2, 32, 1)
    assert grid.mean(field) == pytest.approx(1 / 3, abs=1e-12)
    assert grid.weights.mean() == pytest.approx(1.0)


@pytest.mark.parametrize(("nlat", "nlon"), [(15, 32), (0, 32), (16, 2)])
def test_a_grid_that_cannot_be_is_refused(nlat: int, nlon: int) -> None:
    with pytest.raises(ValueError, match=f"got {nlat}x{nlon}"):
        gaussian_grid(nlat, nlon)


def test_bilinear_weights_are_a_partition_of_one_everywhere() -> None:
    rng = np.random.default_rng(0)
    lat = np.concatenate([rng.uniform(-90, 90, 500), [90.0, -90.0]])
    _, weights = bilinear(gaussian_grid(16, 32), lat, rng.uniform(-360, 720, 502))
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-12)


def test_bilinear_gives_grid_values_at_grid_points_and_wraps_at_the_seam() -> None:
    grid = gaussian_grid(8, 16)
    field = np.random.default_rng(1).normal(size=grid.shape)
    lat, lon = np.repeat(grid.lat, 16), np.tile(grid.lon, 8)
    corners, weights = bilinear(grid, lat, lon + 360.0)
    np.testing.assert_allclose((field.ravel()[corners] * weights).sum(1), field.ravel(), atol=1e-9)
    corners, weights = bilinear(grid, grid.lat[3:4], np.array([-11.25]))  # halfway between the last and first column
    assert (field.ravel()[corners] * weights).sum() == pytest.approx((field[3, -1] + field[3, 0]) / 2)


def test_across_the_pole_a_smooth_scalar_is_interpolated_from_the_opposite_meridian() -> None:
    grid = gaussian_grid(32, 64)
    cosines = [np.cos(np.deg2rad(grid.lat))[:, None] * np.cos(np.deg2rad(grid.lon))]
    corners, weights = bilinear(grid, np.array([89.9]), np.array([30.0]))
    exact = np.cos(np.deg2rad(89.9)) * np.cos(np.deg2rad(30.0))
    assert (cosines[0].ravel()[corners] * weights).sum() == pytest.approx(exact, abs=1e-3)


def test_harmonics_are_orthonormal_and_ordered_by_degree() -> None:
    grid = gaussian_grid(16, 32)
    harmonics = Harmonics(grid, 12)
    a = torch.randn(2, 144, generator=torch.Generator().manual_seed(0))
    x = harmonics.synthesise(a)
    torch.testing.assert_close(harmonics.analyse(x), a, rtol=1e-4, atol=1e-5)
    area = torch.as_tensor(grid.weights, dtype=torch.float32)[:, None] * 4 * np.pi / (16 * 32)
    torch.testing.assert_close((x**2 * area).sum((-1, -2)), (a**2).sum(-1), rtol=1e-4, atol=1e-4)
    one = torch.zeros(144)
    one[1] = 1.0  # degree 1, m = 0: sqrt(3 / 4 pi) sin(latitude)
    expected = np.sqrt(3 / (4 * np.pi)) * np.sin(np.deg2rad(grid.lat))
    np.testing.assert_allclose(harmonics.synthesise(one)[:, 0].numpy(), expected, atol=1e-5)


def test_harmonics_at_points_equal_the_interpolated_field() -> None:
    grid = gaussian_grid(16, 32)
    harmonics = Harmonics(grid, 10)
    a = torch.randn(100, generator=torch.Generator().manual_seed(1))
    lat, lon = np.array([0.0, 89.5, -47.3]), np.array([0.0, 200.0, -33.0])
    corners, weights = bilinear(grid, lat, lon)
    expected = (harmonics.synthesise(a).flatten()[torch.as_tensor(corners)] * torch.as_tensor(weights)).sum(-1)
    at_points = harmonics.at_corners(torch.as_tensor(corners), torch.as_tensor(weights))
    torch.testing.assert_close(at_points @ a, expected.float(), rtol=1e-4, atol=1e-5)


def test_too_many_degrees_are_refused() -> None:
    with pytest.raises(ValueError, match="resolves at most 16 degrees; got 17"):
        Harmonics(gaussian_grid(16, 32), 17)
