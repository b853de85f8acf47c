"""A climate whose variance follows season and latitude is found to do so."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np

from dacycle.cycler.training.seasonal_variance import seasonal_variance
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.season import season_basis

COARSE, FINE = gaussian_grid(16, 32), gaussian_grid(32, 64)


def test_the_variance_of_the_season_is_found_by_channel_and_latitude() -> None:
    rng = np.random.default_rng(0)
    times = [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=k) for k in range(731)]
    north = np.sin(np.deg2rad(COARSE.lat))[:, None]
    size = np.linspace(1.0, 5.0, 32)  # by longitude, no season in it
    states = np.empty((len(times), 2, 16, 32), np.float32)
    for k, time in enumerate(times):
        basis = season_basis(time)
        variance = np.stack([1 + 0.5 * basis[1] * north, 1 + 0.3 * basis[4] + 0 * north])
        noise = rng.standard_normal((2, 16, 32))
        states[k] = 280 + 20 * basis[2] * north + size * np.sqrt(variance) * noise
    data = SimpleNamespace(states=states, times=times, grid=COARSE)
    found = seasonal_variance(data, FINE)  # type: ignore[arg-type]
    assert found.shape == (4, 2, 32)
    expected = np.zeros_like(found)
    expected[0, 0], expected[3, 1] = 0.5 * np.sin(np.deg2rad(FINE.lat)), 0.3
    np.testing.assert_allclose(found, expected, atol=0.08)
