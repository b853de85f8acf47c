"""A climate whose variance follows season and place is found to do so."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np

from dacycle.cycler.training.seasonal_variance import seasonal_variance
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.season import season_basis

GRID = gaussian_grid(16, 32)


def test_the_variance_of_the_season_is_found_by_channel_and_place() -> None:
    rng = np.random.default_rng(0)
    times = [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=k) for k in range(731)]
    north = np.sin(np.deg2rad(GRID.lat))[:, None]
    east = np.cos(np.deg2rad(GRID.lon))
    size = np.linspace(1.0, 5.0, 32)  # no season in it
    states = np.empty((len(times), 2, 16, 32), np.float32)
    for k, time in enumerate(times):
        basis = season_basis(time)
        variance = np.stack([1 + 0.5 * basis[1] * north * east, 1 + 0.3 * basis[4] + 0 * north * east])
        noise = rng.standard_normal((2, 16, 32))
        states[k] = 280 + 20 * basis[2] * north + size * np.sqrt(variance) * noise
    data = SimpleNamespace(states=states, times=times, grid=GRID)
    found = seasonal_variance(data)  # type: ignore[arg-type]
    expected = np.zeros((4, 2, 16, 32))
    expected[0, 0], expected[3, 1] = 0.5 * north * east, 0.3
    assert found.shape == expected.shape
    assert np.sqrt(np.square(found - expected).mean()) < 0.05
