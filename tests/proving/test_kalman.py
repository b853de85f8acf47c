"""Cycling against the exact Kalman filter: which way of conditioning members on forecasts is right."""

import pytest
import torch

from dacycle.cycler.assimilation.analysis import Settings
from tests.proving.kalman_world import cycle, make_linear_world


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.slow
def test_the_cycle_is_the_kalman_filter() -> None:
    """4,000 members, 50 cycles, the default method at its default number of calls: guidance and solver together."""
    found = cycle(make_linear_world(4), Settings(), cycles=50, members=4000)
    assert found.mean < 0.05
    assert 0.95 < found.smallest <= found.largest < 1.05


def test_without_a_solver_the_conditioning_itself_is_exact() -> None:
    found = cycle(make_linear_world(), Settings("oi"), cycles=20, members=1000)
    assert found.mean < 0.005
    assert found.spread == pytest.approx(1.0, abs=0.015)


def test_members_that_observe_their_own_forecasts_count_the_spread_twice() -> None:
    world = make_linear_world(4)
    own = cycle(world, Settings("oi"), cycles=6, members=200, own=True)
    mean = cycle(world, Settings("oi"), cycles=6, members=200)
    assert own.spread > 1.1
    assert mean.spread == pytest.approx(1.0, abs=0.06)
