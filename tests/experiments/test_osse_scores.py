"""Intervals, ranks and both grids, where the answer is known."""

from datetime import UTC, datetime

import numpy as np
import pytest

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.experiments.osse_scores import (
    both_grids,
    difference,
    expected_ranks,
    expected_square,
    fair_crps,
    interval,
    joint_intervals,
    moment,
    rank_contrasts,
)
from dacycle.emulators.grid import gaussian_grid


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says() -> None:
    """Autocorrelated differences (0.5 from one time to the next) of mean 0.3."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(200):
        noise = rng.normal(size=60)
        for k in range(1, 60):
            noise[k] = 0.5 * noise[k - 1] + noise[k] * 0.75**0.5
        _, low, high = difference(np.zeros(60), 0.3 + noise)
        covered += low <= 0.3 <= high
    assert 0.87 < covered / 200 <= 1.0


def test_joint_intervals_hold_all_means_at_once_as_often_as_they_say() -> None:
    """Twelve autocorrelated series, some of which go together, of means 0 to 1.1."""
    rng, all_held, single_held = np.random.default_rng(2), 0, 0
    means = np.arange(12) / 10
    for _ in range(200):
        noise = rng.normal(size=(60, 12)) + rng.normal(size=(60, 1))
        for k in range(1, 60):
            noise[k] = 0.5 * noise[k - 1] + noise[k] * 0.75**0.5
        series = means + noise
        joint, single = joint_intervals(series), [interval(column) for column in series.T]
        np.testing.assert_allclose([mean for mean, _, _ in joint], [mean for mean, _, _ in single])
        all_held += all(low <= m <= high for m, (_, low, high) in zip(means, joint, strict=True))
        single_held += all(low <= m <= high for m, (_, low, high) in zip(means, single, strict=True))
    assert 0.9 < all_held / 200 <= 1.0
    assert single_held < all_held - 20


def test_a_method_ties_with_itself() -> None:
    values = np.random.default_rng(2).normal(size=30)
    assert difference(values, values) == (0.0, 0.0, 0.0)


def test_a_reliable_ensemble_has_flat_ranks_and_a_spread_like_its_error() -> None:
    grid, rng = gaussian_grid(32, 64), np.random.default_rng(3)
    scores = [moment(grid, *_pair(rng, grid.shape)) for _ in range(40)]
    ranks = sum(s.ranks[0] for s in scores)
    expected = ranks.sum() / len(ranks)
    assert (np.abs(ranks - expected) < 5 * np.sqrt(expected)).all()
    ratio = np.mean([s.expected[0] for s in scores]) / np.mean([s.square[0] for s in scores])
    assert ratio == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("members", [4, 8])
@pytest.mark.parametrize("antithetic", [False, True])
def test_spread_and_crps_do_not_depend_on_how_the_members_of_a_pair_are_related(members: int, antithetic: bool) -> None:
    """Truth and members from N(0, 1): the CRPS of that distribution is 1 / sqrt(pi)."""
    rng, shape = np.random.default_rng(4), (200_000,)
    one = rng.normal(size=(members // 2, *shape))
    other = -one if antithetic else rng.normal(size=one.shape)
    states, truth = np.stack([one, other], 1).reshape(members, *shape), rng.normal(size=shape)
    square = np.square(states.mean(0) - truth).mean()
    assert expected_square(states).mean() / square == pytest.approx(1.0, abs=0.01)
    assert fair_crps(states, truth).mean() == pytest.approx(np.pi**-0.5, abs=0.005)


def _pair(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(8, 1, *shape)).astype(np.float32), rng.normal(size=(1, *shape)).astype(np.float32)


def test_a_perfect_ensemble_has_no_error_on_either_grid(tiny_bundle: Bundle) -> None:
    exact = tiny_bundle.climatology.mean(datetime(2001, 1, 1, tzinfo=UTC))
    for scores in both_grids(tiny_bundle, np.stack([exact, exact]), exact):
        assert scores.square.max() < 1e-3
        assert scores.crps.max() < 1e-3


@pytest.mark.parametrize("members", [2, 4, 8])
def test_the_ranks_of_a_truth_among_antithetic_members_are_as_expected(members: int) -> None:
    rng = np.random.default_rng(members)
    half = rng.normal(size=(members // 2, 200_000))
    truth = rng.normal(size=200_000)
    below = (np.concatenate([half, -half]) < truth).sum(0)
    found = np.bincount(below, minlength=members + 1) / truth.size
    np.testing.assert_allclose(found, expected_ranks(members), atol=0.005)
    assert expected_ranks(members).sum() == pytest.approx(1)


@pytest.mark.parametrize("members", [7, 8])
def test_rank_histograms_of_a_truth_that_is_drawn_as_the_members_are_neither_lean_nor_bend(members: int) -> None:
    ranks = np.round(expected_ranks(members) * 9_000).astype(np.int64)
    np.testing.assert_allclose(rank_contrasts(ranks), 0.0, atol=1e-12)


def test_a_histogram_leans_towards_where_the_truth_lies_and_bends_where_members_are_too_narrow() -> None:
    slope, bend = rank_contrasts(np.array([[0] * 500 + [2] * 500, [2] * 500 + [0] * 500]))
    np.testing.assert_allclose(slope, [3**0.5 / 2, -(3**0.5) / 2], atol=1e-3)
    np.testing.assert_allclose(bend, 0.0, atol=5e-3)
    rng = np.random.default_rng(5)
    pairs, truth = rng.normal(size=(4, 100_000)), rng.normal(size=100_000)
    bends = []
    for spread in (0.8, 1.0, 1.25):
        members = spread * np.concatenate([pairs, -pairs])
        bends.append(rank_contrasts(np.bincount((members < truth).sum(0), minlength=9))[1])
    assert bends[0] > 0.1 > abs(bends[1]) * 5
    assert bends[2] < -0.1
