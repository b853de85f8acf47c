"""What members lack in spread by latitude and season, against worlds where it is known."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from dacycle.cycler.training.zonal_spread import Case, inflation_square
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.season import season_basis

GRID, CHANNELS = gaussian_grid(32, 64), 2
SINE = np.sin(np.deg2rad(GRID.lat))
SUMMER, WINTER = (datetime(2001, month, 1, tzinfo=UTC) for month in (7, 1))


def case(number: int, time: datetime, f: np.ndarray, kept: float = 0.4) -> Case:
    """Truth of unit variance around the mean, members of the share ``kept`` of it; the rest is what is added, for a
    factor whose square is ``f`` (channels, nlat)."""
    rng = np.random.default_rng(number)

    def draw(n: int) -> np.ndarray:
        return rng.normal(size=(n, CHANNELS, *GRID.shape))

    def pairs(half: np.ndarray) -> np.ndarray:
        return np.stack([half, -half], 1).reshape(-1, *half.shape[1:])

    members, added = pairs(np.sqrt(kept) * draw(4)), pairs(draw(4) * np.sqrt(abs(1 - kept) / f)[..., None])
    mean = draw(1)
    return Case.of(time, mean + members, added, (mean + draw(1))[0])


def test_the_factor_closes_the_gap_by_channel_latitude_and_season() -> None:
    warm = np.stack([np.full(32, 0.9), 1.0 + 0.5 * SINE])
    cold = np.stack([np.full(32, 0.9), 1.0 - 0.5 * SINE])
    cases = [
        case(2 * n + k, time, f) for n in range(30) for k, (time, f) in enumerate([(SUMMER, warm), (WINTER, cold)])
    ]
    square = inflation_square(GRID, cases)
    for time, wanted in ((SUMMER, warm), (WINTER, cold)):
        found = np.tensordot(season_basis(time)[:3], square, 1)
        np.testing.assert_allclose(found, wanted, atol=0.12)


def test_members_with_too_much_spread_are_given_none_and_one_season_speaks_for_all() -> None:
    wide = inflation_square(GRID, [case(n, SUMMER, np.full((CHANNELS, 32), 0.5), kept=2.0) for n in range(10)])
    assert (np.tensordot(season_basis(SUMMER)[:3], wide, 1) < 0).all()
    narrow = inflation_square(GRID, [case(n, SUMMER, np.ones((CHANNELS, 32))) for n in range(30)])
    at_dates = [np.tensordot(season_basis(time)[:3], narrow, 1) for time in (SUMMER, WINTER)]
    np.testing.assert_allclose(at_dates[0], 1.0, atol=0.1)
    np.testing.assert_allclose(at_dates[1], at_dates[0], atol=0.25)


def test_a_case_comes_back_from_its_file(tmp_path: Path) -> None:
    before = case(1, SUMMER, np.ones((CHANNELS, 32)))
    before.save(tmp_path / "case.npz")
    after = Case.load(tmp_path / "case.npz")
    assert after.time == before.time
    for name in ("lack", "added"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_nothing_is_said_without_analyses_or_of_a_single_pair() -> None:
    with pytest.raises(ValueError, match="cannot be judged without an analysis"):
        inflation_square(GRID, [])
    nothing = np.zeros((2, CHANNELS, *GRID.shape))
    with pytest.raises(ValueError, match="2 members cannot be judged; expected pairs"):
        Case.of(SUMMER, nothing, nothing, nothing[0])
