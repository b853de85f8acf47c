"""Between grids: what is exact stays exact, area means are kept, and the circle closes."""

import numpy as np
import pytest

from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.remap import is_global, remap

GRID = gaussian_grid(32, 64)


def regular(step: float) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(90, -90 - step / 2, -step), np.arange(0, 360, step)


def wave(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    phi, lam = np.deg2rad(lat)[:, None], np.deg2rad(lon)[None]
    return np.sin(phi) + np.cos(phi) * np.cos(lam) + np.cos(phi) ** 2 * np.sin(2 * lam)


def test_its_own_grid_changes_nothing() -> None:
    field = np.random.default_rng(0).normal(size=(3, *GRID.shape)).astype(np.float32)
    np.testing.assert_array_equal(remap(field, GRID.lat, GRID.lon, GRID), field)


@pytest.mark.parametrize("step", [0.25, 1.0, 2.5, 10.0])
def test_a_smooth_wave_arrives_whether_the_source_is_finer_or_coarser(step: float) -> None:
    lat, lon = regular(step)
    # The wave's curvature is at most five: linear interpolation over ten degrees is off by 5 h^2 / 8 = 0.019 each way.
    assert np.abs(remap(wave(lat, lon), lat, lon, GRID) - wave(GRID.lat, GRID.lon)).max() < 0.04


def test_a_finer_source_keeps_its_area_mean() -> None:
    lat, lon = regular(1.0)
    field = np.random.default_rng(1).normal(size=(len(lat), len(lon)))
    edges = np.sin(np.deg2rad(np.concatenate([[90], (lat[1:] + lat[:-1]) / 2, [-90]])))
    mean = (field.mean(1) * -np.diff(edges)).sum() / 2
    own = np.sin(np.deg2rad(np.concatenate([[90], (GRID.lat[1:] + GRID.lat[:-1]) / 2, [-90]])))
    assert abs((remap(field, lat, lon, GRID).mean(1) * -np.diff(own)).sum() / 2 - mean) < 1e-6


def test_longitudes_wrap_wherever_they_begin() -> None:
    lat, lon = regular(2.5)
    shifted = np.mod(lon + 1.25, 360)
    np.testing.assert_allclose(
        remap(wave(lat, shifted), lat, shifted, GRID), wave(GRID.lat, GRID.lon), atol=0.02, rtol=0
    )


def test_a_part_of_the_globe_is_refused() -> None:
    lat, lon = regular(2.5)
    assert is_global(lat, lon)
    assert is_global(GRID.lat, GRID.lon)
    assert not is_global(lat[:40], lon)
    assert not is_global(lat, lon[:-10])
    with pytest.raises(ValueError, match=r"expected a global grid; got latitudes 90 to -7\.5"):
        remap(wave(lat[:40], lon), lat[:40], lon, GRID)
