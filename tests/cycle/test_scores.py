"""Statistics and scores against what is known exactly."""

from datetime import UTC, datetime

import numpy as np
import pytest

from dacycle.cycler.cycle.scores import Pairs, score
from dacycle.cycler.cycle.statistics import count, departures, statistics
from dacycle.obs.batch import ObservationBatch, Quality


def batch(
    value: np.ndarray, sigma: float, quality: np.ndarray | None = None, channel: str = "t850"
) -> ObservationBatch:
    n = len(value)
    return ObservationBatch(
        analysis_time=datetime(2021, 3, 1, tzinfo=UTC),
        channel=np.full(n, channel),
        lat=np.zeros(n),
        lon=np.zeros(n),
        time=np.zeros(n, "datetime64[s]"),
        value=value,
        sigma=np.full(n, sigma),
        elevation=np.zeros(n),
        station=np.array([f"S{i // 2}" for i in range(n)]),
        report=np.array([f"S{i // 2} 0" for i in range(n)]),
        quality=np.zeros(n, np.int16) if quality is None else quality.astype(np.int16),
    )


def test_correct_ensemble_has_spread_skill_of_one() -> None:
    rng = np.random.default_rng(0)
    n, members, spread, sigma = 40000, 8, 2.0, 1.0
    ensemble = rng.normal(0, spread, (members, n))
    value = rng.normal(0, spread, n) + rng.normal(0, sigma, n)
    told = statistics(batch(value, sigma), ensemble, ensemble)
    assert told.spread_skill["t850"] == pytest.approx(1.0, abs=0.02)
    assert told.omb["t850"].rms == pytest.approx(np.sqrt(spread**2 * (1 + 1 / members) + sigma**2), rel=0.02)


def test_departures_count_only_what_was_used() -> None:
    value = np.array([1.0, 3.0, 100.0, 7.0])
    quality = np.array([Quality.ASSIMILATED, Quality.ASSIMILATED, Quality.GROSS, Quality.EVALUATED_ONLY])
    told = departures(batch(value, 1.0, quality), np.array([[0.0] * 4, [2.0] * 4]))
    assert (told["t850"].n, told["t850"].bias, told["t850"].rms) == (2, 1.0, pytest.approx(np.sqrt(2)))


def test_without_background_there_is_no_omb() -> None:
    told = statistics(batch(np.ones(3), 1.0), None, np.zeros((4, 3)))
    assert (told.omb, told.spread_skill) == ({}, {})
    assert told.oma["t850"].bias == 1.0


def test_counts_are_soundings_and_values_by_verdict() -> None:
    quality = np.array(
        [Quality.ASSIMILATED, Quality.GROSS, Quality.EVALUATED_ONLY, Quality.EVALUATED_ONLY, Quality.GROSS]
    )
    told = count(batch(np.zeros(5), 1.0, quality), received=4)
    assert (told.received, told.used, told.withheld) == (4, 1, 1)
    assert told.values == {"t850": {"used": 1, "withheld": 2, "gross": 2}}
    assert told.rejected == {"gross": 2}


def scored(ensemble: np.ndarray, value: np.ndarray, background: np.ndarray | None = None, weight: float = 1.0) -> Pairs:
    pairs = Pairs()
    n = len(value)
    pairs.add(value, ensemble, background, np.zeros(n), np.full(n, weight), np.zeros_like(ensemble))
    return pairs


def test_crps_of_gaussian_ensembles_is_the_closed_form_for_any_size() -> None:
    rng = np.random.default_rng(1)
    expected = (np.sqrt(2) - 1) / np.sqrt(np.pi)  # of the forecast N(0, 1) at the value 0
    for members in (3, 20):
        told = score(scored(rng.normal(0, 1, (members, 60000)), np.zeros(60000)))
        assert told.crps_analysis == pytest.approx(expected, abs=0.01), members


def test_crps_by_the_double_sum() -> None:
    rng = np.random.default_rng(2)
    ensemble, value = rng.normal(size=(5, 7)), rng.normal(size=7)
    among = np.abs(ensemble[:, None] - ensemble[None]).sum((0, 1)) / (2 * 5 * 4)
    direct = (np.abs(ensemble - value).mean(0) - among).mean()
    assert score(scored(ensemble, value)).crps_analysis == pytest.approx(direct)


def test_ranks_of_a_correct_ensemble_are_flat() -> None:
    rng = np.random.default_rng(3)
    told = score(scored(rng.normal(size=(4, 50000)), rng.normal(size=50000)))
    assert told.ranks is not None
    np.testing.assert_allclose(np.array(told.ranks) / 50000, 0.2, atol=0.01)
    assert score(scored(np.zeros((4, 3)), np.ones(3))).ranks == [0, 0, 0, 0, 3]


def test_rmse_spread_and_weights() -> None:
    pairs = scored(np.array([[0.0, 0.0], [2.0, 2.0]]), np.array([1.0, 4.0]), background=np.array([1.0, 0.0]))
    pairs.add(np.array([0.0]), np.array([[0.0], [0.0]]), None, np.array([5.0]), np.array([2.0]), np.zeros((2, 1)))
    told = score(pairs)
    assert told.n == 3
    assert told.rmse_analysis == pytest.approx(np.sqrt((0 + 9 + 2 * 0) / 4))
    assert told.rmse_background == pytest.approx(np.sqrt((0 + 16) / 2))
    assert told.rmse_climatology == pytest.approx(np.sqrt((1 + 16 + 2 * 25) / 4))
    assert told.spread == pytest.approx(np.sqrt((2 + 2 + 2 * 0) / 4))


def test_one_member_has_neither_spread_nor_crps() -> None:
    told = score(scored(np.zeros((1, 3)), np.ones(3)))
    assert (told.spread, told.crps_analysis, told.ranks) == (None, None, None)
    assert told.rmse_analysis == 1.0
