"""LUCIE as an emulator: steps, members, physics of its output; and persistence beside it."""

from datetime import UTC, datetime, timedelta

import pytest
import torch

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.emulators.emulator import Emulator, Persistence
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.lucie import Lucie, LucieArguments, Statistics, log_precipitation, precipitation_rate

GRID = gaussian_grid(8, 16)
START = datetime(2001, 3, 4, 12, tzinfo=UTC)
SIX_HOURS = timedelta(hours=6)
TYPICAL = torch.tensor([280, 0, 0, 98000, 275, 5, 0, 0.006, 1450, 255, 10, 0, 5600, 220, 15, 0, 10400.0])
SPREAD = torch.tensor([10, 5, 5, 1000, 10, 8, 8, 0.003, 60, 9, 12, 12, 150, 5, 15, 15, 200.0])


@pytest.fixture(params=[False, True], ids=["free", "on the attractor"])
def lucie(request: pytest.FixtureRequest) -> Lucie:
    """A small network with random weights, so that a step changes the state noticeably."""
    torch.manual_seed(1)
    blank = Statistics.blank(len(DEFAULT_CHANNELS), *GRID.shape)
    statistics = Statistics(
        **{
            **vars(blank),
            "mean": blank.mean + TYPICAL[:, None, None],
            "std": SPREAD[:, None, None],
            "tendency_std": 0.2 * SPREAD[:, None, None],
        }
    )
    return Lucie(DEFAULT_CHANNELS, GRID, LucieArguments(embed=8, layers=2, attractor=request.param), statistics).eval()


def _states(members: int) -> torch.Tensor:
    noise = torch.randn(members, len(DEFAULT_CHANNELS), *GRID.shape, generator=torch.Generator().manual_seed(2))
    state = TYPICAL[:, None, None] + 0.5 * SPREAD[:, None, None] * noise
    state[:, 7].clamp_(min=0)
    return state


def _relative(difference: torch.Tensor) -> float:
    return float((difference / SPREAD[:, None, None]).abs().max())


def test_twelve_hours_are_two_steps_with_their_own_dates(lucie: Lucie) -> None:
    state = _states(2)
    once = lucie.forecast(lucie.forecast(state, START, 6), START + SIX_HOURS, 6)
    assert _relative(lucie.forecast(state, START, 12) - once) < 1e-4
    assert _relative(once - state) > 0.1


def test_members_do_not_see_each_other(lucie: Lucie) -> None:
    state = _states(5)
    together = lucie.forecast(state, START, 12)
    for chunk in (slice(0, 2), slice(2, 5)):
        assert _relative(lucie.forecast(state[chunk], START, 12) - together[chunk]) < 1e-4


@pytest.mark.parametrize("lucie", [False], indirect=True)
def test_a_step_adds_the_scaled_output(lucie: Lucie) -> None:
    lucie.network.forecast_persistence()
    state = _states(1)
    assert _relative(lucie.forecast(state, START, 24) - state) < 1e-4


def test_humidity_and_precipitation_are_never_negative(lucie: Lucie) -> None:
    lucie.network.forecast_persistence()
    state = _states(3)
    state[:, 7, 2:4] = -0.01
    state, rain = lucie.forecast_with_precipitation(state, START, 12)
    assert state[:, 7].min() > -1e-9
    if lucie.attractor is None:  # which smooths what a random state holds
        assert state[:, 7, 2:4].max() < 1e-9
    assert rain.shape == (3, *GRID.shape)
    assert rain.min() >= 0


def test_the_season_enters_by_the_date(lucie: Lucie) -> None:
    state = _states(1)
    lucie.insolation[1] = 100.0
    winter, summer = (lucie.forecast(state, datetime(2001, month, 1, tzinfo=UTC), 6) for month in (1, 7))
    assert _relative(winter - summer) > 1e-3


def test_precipitation_scale_is_inverted() -> None:
    rate = torch.tensor([0.0, 1e-6, 1e-4, 1e-3])
    assert torch.allclose(precipitation_rate(log_precipitation(rate)), rate, rtol=1e-4, atol=1e-10)
    # 10 mm in six hours are 1e-2 m: the logarithm of two.
    assert float(log_precipitation(torch.tensor(10 / 21600.0))) == pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize("hours", [0, -6, 7])
def test_other_than_whole_steps_are_refused(lucie: Lucie, hours: int) -> None:
    with pytest.raises(ValueError, match="multiple of 6"):
        lucie.forecast(_states(1), START, hours)


def test_wrong_shape_is_refused(lucie: Lucie) -> None:
    with pytest.raises(ValueError, match="expected states"):
        lucie.forecast(torch.zeros(1, 3, 8, 16), START, 6)


def test_persistence_returns_a_copy() -> None:
    emulator: Emulator = Persistence(DEFAULT_CHANNELS, GRID)
    state = _states(2)
    later = emulator.forecast(state, START, 12)
    assert torch.equal(later, state)
    later += 1
    assert not torch.equal(later, state)
