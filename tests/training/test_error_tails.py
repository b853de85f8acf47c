"""The errors' tails, found in worlds where they are known."""

from dataclasses import replace

import numpy as np
import pytest

from dacycle.cycler.assimilation.inflation_factor import InflationFactor
from dacycle.cycler.training.error_tails import LONGEST, Sample, bends, error_tails

SQUARE = np.array([[1.0, 0.5], [2.0, 1.0]], np.float32)  # (nodes, channels)
INFLATION = InflationFactor(SQUARE, np.zeros(2, np.float32))


def sample(number: int, tails: list[float]) -> Sample:
    """The truth is drawn as the members are, but for the size of its departure, which scatters by ``tails``."""
    rng = np.random.default_rng(number)
    pairs, places, t = 4, 2000, np.array(tails)[:, None]
    weights = np.stack([share := rng.random(places), 1 - share])
    factor = np.sqrt(np.einsum("nc,np->cp", SQUARE, weights))

    def both(half: np.ndarray) -> np.ndarray:
        return np.stack([half, -half], 1).reshape(-1, *half.shape[1:]).astype(np.float32)

    base, added = rng.standard_normal((2, pairs + 1, 2, places))
    truth = (base[-1] + factor * added[-1]) * np.exp(t * rng.standard_normal((1, places)) - t**2)
    return Sample(
        both(base[:-1]),
        both(added[:-1]),
        0 * both(added[:-1]),
        np.arange(2),
        weights.astype(np.float32),
        truth.astype(np.float32),
        np.ones(2, np.float32),
        np.zeros(()),
    )


def scaled(sample: Sample, factor: float) -> Sample:
    """With members that spread by so much more."""
    return replace(sample, members=factor * sample.members, deviations=factor * sample.deviations)


def test_the_tails_of_a_known_world_are_found_by_channel_and_leave_ranks_flat() -> None:
    samples = [sample(number, [0.3, 0.6]) for number in range(60)]
    found = error_tails(samples, INFLATION)
    np.testing.assert_allclose(found, [0.3, 0.6], atol=0.05)
    np.testing.assert_allclose(bends(samples, INFLATION, found), 0.0, atol=0.015)
    assert bends(samples, INFLATION, 0 * found).max() < -0.05


def test_gaussian_errors_have_none_and_wild_ones_at_most_so_long_ones() -> None:
    samples = [sample(number, [0.0, 0.0]) for number in range(60)]
    assert error_tails(samples, INFLATION).max() < 0.15
    narrow = [scaled(s, 0.3) for s in samples]
    assert error_tails(narrow, INFLATION) == pytest.approx([0.0, 0.0])
    wide = [scaled(s, 9.0) for s in samples]
    assert error_tails(wide, INFLATION) == pytest.approx([LONGEST, LONGEST])


def test_nothing_is_said_without_analyses() -> None:
    with pytest.raises(ValueError, match="cannot be judged without an analysis"):
        error_tails([], INFLATION)
