"""Scores of a prior's samples against closed forms: spectra, balance, seams, cubic interpolation."""

import numpy as np
import pytest

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.cubic import cubic
from dacycle.cycler.training.free_run import zonal_spectrum
from dacycle.cycler.training.prior_scores import agreement, geostrophy, histograms, seam, spectral_ratio
from dacycle.emulators.grid import Grid, gaussian_grid

GRID = gaussian_grid(32, 64)


def test_the_spectrum_of_a_wave_is_half_its_square_and_the_sum_the_mean_square() -> None:
    wave = 3 * np.cos(5 * np.deg2rad(GRID.lon))[None] + np.zeros((32, 1))
    spectrum = zonal_spectrum(wave, GRID)
    assert spectrum[5] == pytest.approx(4.5)
    assert np.delete(spectrum, 5).max() < 1e-20
    noise = np.random.default_rng(0).normal(size=(2, 32, 64))
    np.testing.assert_allclose(zonal_spectrum(noise, GRID)[:, :-1].sum(1), GRID.mean(noise**2), rtol=0.05)


def test_twice_the_amplitude_is_four_times_the_energy() -> None:
    truth = np.random.default_rng(1).normal(size=(3, 2, 32, 64))
    np.testing.assert_allclose(spectral_ratio(2 * truth, truth, GRID), 4.0)


def test_agreement_counts_both_sides_of_one_alike() -> None:
    ratio = np.array([[0.5, 1 / 1.19, 1 / 1.21, 1.0], [1.19, 1.21, 2.0, 0.9]])
    assert agreement(ratio, 1.2) == 4 / 8
    assert agreement(ratio, 2.0) == 1.0


def test_a_geostrophic_wind_is_recognised() -> None:
    """A zonal jet and a wave: u = -g / f dz/dy, v = g / f dz/dx in closed form."""
    lat, lon = np.deg2rad(GRID.lat)[:, None], np.deg2rad(GRID.lon)
    scale = 9.80665 / (2 * 7.292e-5 * np.sin(lat)) / 6.371e6
    z = 5600 - 300 * np.sin(lat) ** 2 + 60 * np.cos(lat) ** 3 * np.cos(4 * lon)
    u = -scale * (-600 * np.sin(lat) * np.cos(lat) - 180 * np.cos(lat) ** 2 * np.sin(lat) * np.cos(4 * lon))
    v = scale * (-240 * np.cos(lat) ** 2 * np.sin(4 * lon))
    states = np.zeros((1, 17, 32, 64))
    names = [c.name for c in DEFAULT_CHANNELS]
    for name, field in (("z500", z), ("u500", u), ("v500", v)):
        states[0, names.index(name)] = field
    assert min(geostrophy(states, DEFAULT_CHANNELS, GRID)) > 0.995
    states[0, names.index("v500")] *= -1
    assert geostrophy(states, DEFAULT_CHANNELS, GRID)[1] < -0.995


def test_a_seam_shows_and_a_smooth_field_has_none() -> None:
    smooth = np.cos(np.deg2rad(GRID.lon) + np.arange(64)[:, None])[:, None, None] + np.zeros((64, 1, 32, 64))
    assert seam(smooth)[0] == pytest.approx(1.0, abs=0.05)
    assert seam(smooth + np.linspace(0, 1, 64))[0] > 10


def test_equal_samples_have_equal_histograms() -> None:
    truth = np.random.default_rng(2).normal(size=(4, 1, 32, 64))
    ((_, ours, theirs),) = histograms(truth, truth)
    assert np.array_equal(ours, theirs)
    ((_, ours, theirs),) = histograms(truth + 5, truth)
    assert 0.5 * np.abs(ours - theirs).sum() > 0.9


@pytest.mark.parametrize("target", [gaussian_grid(64, 128), gaussian_grid(16, 32)])
def test_cubic_interpolation_is_of_fourth_order_and_crosses_the_poles(target: Grid) -> None:
    def field(grid: Grid) -> np.ndarray:
        lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)
        return np.cos(lat) * np.cos(lon) + np.sin(lat) ** 2 + np.cos(lat) ** 2 * np.sin(2 * lon)

    errors = [
        np.abs(cubic(field(source)[None], source, target)[0] - field(target)).max()
        for source in (GRID, gaussian_grid(64, 128))
    ]
    assert errors[0] < 1e-3
    assert errors[1] < max(errors[0] / 8, 1e-6)
