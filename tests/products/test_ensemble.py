"""Statistics, physical limits and what is refused."""

from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.products.ensemble import Ensemble
from dacycle.errors import ProductError
from tests.products.samples import TIME, ensemble


def test_spread_is_unbiased() -> None:
    sample = ensemble(members=4)
    np.testing.assert_allclose(
        sample.fields("spread")[0], sample.states.std(0, ddof=1, dtype=float), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(sample.fields("mean")[0], sample.states.mean(0, dtype=float), rtol=1e-6)


def test_a_single_member_has_no_spread() -> None:
    assert ensemble(members=1).kinds() == ("members", "mean")
    assert ensemble(members=2).kinds(members=False) == ("mean", "spread")


def test_humidity_is_clipped_at_zero_and_counted() -> None:
    sample = ensemble()
    index = [c.name for c in DEFAULT_CHANNELS].index("q850")
    sample.states[0, index, 3, :5] = -1e-5
    negative_wind = sample.states[:, 1].min()
    clipped, counts = sample.clipped()
    assert counts == {"q850": 5}
    assert (clipped.states[0, index, 3, :5] == 0).all()
    assert clipped.states[:, 1].min() == negative_wind < 0
    assert (sample.states[0, index, 3, :5] < 0).all(), "the caller's states must stay as they were"


def test_nothing_to_clip_copies_nothing() -> None:
    sample = ensemble()
    clipped, counts = sample.clipped()
    assert counts == {}
    assert clipped is sample


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_name(bad: float) -> None:
    sample = ensemble()
    sample.states[1, 4, 2, 2] = bad
    with pytest.raises(
        ProductError, match=r"^analysis of 2005-08-26T00Z: 1 values are not finite, the first in t850 of mem"
    ):
        Ensemble(sample.states, sample.channels, sample.grid, TIME)


def test_a_wrong_shape_and_a_naive_time_are_refused() -> None:
    sample = ensemble()
    with pytest.raises(ProductError, match="expected states of shape"):
        Ensemble(sample.states[:, :3], sample.channels, sample.grid, TIME)
    with pytest.raises(ValueError, match="aware UTC"):
        Ensemble(sample.states, sample.channels, sample.grid, datetime(2005, 8, 26))  # noqa: DTZ001


def test_valid_times_follow_the_hours() -> None:
    times = [ensemble(hours=hours).time for hours in (0, 6, 30)]
    assert [(b - a).total_seconds() for a, b in pairwise(times)] == [6 * 3600, 24 * 3600]
