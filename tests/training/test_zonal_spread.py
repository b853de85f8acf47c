"""What members lack in spread by latitude, against worlds where it is known."""

import numpy as np
import pytest

from dacycle.cycler.training.zonal_spread import LARGEST, Lack, inflation_factor
from dacycle.emulators.grid import gaussian_grid

GRID, CHANNELS = gaussian_grid(32, 64), 2
ROWS = np.sin(np.deg2rad(GRID.lat))[:, None]


def lack(number: int, kept: float, wanted: np.ndarray, before: float = 0.0) -> Lack:
    """Truth of unit variance; members have ``kept`` of it and ``before`` squared times what is added; what is added
    would have to be multiplied by ``wanted`` (channels, nlat)."""
    rng = np.random.default_rng(number)

    def draw(n: int) -> np.ndarray:
        return rng.normal(size=(n, CHANNELS, *GRID.shape))

    added = draw(4) * (np.sqrt(1 - kept) / wanted)[..., None]
    deviations = draw(4) * np.sqrt(kept) + before * added
    members = np.stack([deviations, -deviations], 1).reshape(-1, *deviations.shape[1:])
    mean = draw(1)
    return Lack.of(mean + members, (mean + draw(1))[0], added)


@pytest.mark.parametrize("before", [0.0, 0.8])
def test_the_factor_closes_the_gap_by_channel_and_latitude(before: float) -> None:
    wanted = np.stack([np.full(32, 0.9), (1.0 + 0.4 * ROWS[:, 0])])
    lacks = [lack(number, 0.4, wanted, before) for number in range(60)]
    found = inflation_factor(GRID, lacks, np.full((CHANNELS, 32), before, np.float32))
    np.testing.assert_allclose(found, wanted, atol=0.08)


def test_members_with_too_much_spread_get_none_and_the_factor_has_a_bound() -> None:
    one = np.ones((CHANNELS, 32))
    before = np.zeros((CHANNELS, 32), np.float32)
    wide = [Lack(-one, one)] * 3
    np.testing.assert_array_equal(inflation_factor(GRID, wide, before), 0.0)
    narrow = [Lack(one, 0.01 * one)] * 3
    np.testing.assert_allclose(inflation_factor(GRID, narrow, before), LARGEST, rtol=1e-6)


def test_nothing_is_said_without_analyses_or_of_a_single_pair() -> None:
    with pytest.raises(ValueError, match="cannot be judged without an analysis"):
        inflation_factor(GRID, [], np.ones((CHANNELS, 32), np.float32))
    with pytest.raises(ValueError, match="2 members cannot be judged; expected two pairs"):
        Lack.of(np.zeros((2, CHANNELS, *GRID.shape)), np.zeros((CHANNELS, *GRID.shape)), np.zeros((1, 1, 1, 1)))
