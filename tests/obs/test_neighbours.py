"""The buddy check against dense algebra, and against mistakes of several kinds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.neighbours import EARTH_RADIUS_KM, STEP_KM, Expected, _factor, buddy_check
from tests.obs.batches import batch, codes

NAMES = ("t500", "z500", "u500", "v500")


def expected(b: ObservationBatch, mean: float = 0.0, length_km: float = 600.0) -> Expected:
    """Unit variances, correlations exp(-(d/L)^2), height and temperature correlated by 0.8."""
    away = np.arange(160) * STEP_KM
    between = np.eye(4)
    between[0, 1] = between[1, 0] = 0.8
    table = np.exp(-((away / length_km) ** 2))[:, None, None] * between
    position = np.array([NAMES.index(name) for name in b.channel.tolist()], np.int64)
    scale = np.array([2.0, 20.0, 4.0, 4.0])[position]
    return Expected(np.full(len(b), mean), position, scale, table, np.full(4, 0.1))


def network(side: int = 6, spacing: float = 3.0) -> list[tuple[float, float]]:
    return [(spacing * i, spacing * j) for i in range(side) for j in range(side)]


def drawn(seed: int, names: tuple[str, ...] = NAMES) -> tuple[ObservationBatch, Expected]:
    """Values drawn from exactly the statistics that are expected of them."""
    places = network()
    b = batch([dict.fromkeys(names, 0.0) for _ in places], places=places)
    e = expected(b)
    rng = np.random.default_rng(seed)
    return replace(b, value=np.linalg.cholesky(covariance(b, e)) @ rng.standard_normal(len(b))), e


def covariance(b: ObservationBatch, e: Expected) -> np.ndarray:
    """Of the departures, dense and by itself."""
    phi, lam = np.deg2rad(b.lat), np.deg2rad(b.lon)
    xyz = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    away = EARTH_RADIUS_KM * np.arccos(np.clip(xyz @ xyz.T, -1, 1)) / STEP_KM
    k = np.minimum(away.astype(int), len(e.table) - 2)
    table = e.table[:, e.channel][:, :, e.channel]
    i, j = np.indices(away.shape)
    v = table[k, i, j] + (table[k + 1, i, j] - table[k, i, j]) * np.clip(away - k, 0, 1)
    return v * np.outer(e.scale, e.scale) + np.diag(b.sigma**2 + e.rest[e.channel] * e.scale**2)


def test_the_deviation_is_that_of_leaving_each_value_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    from dacycle.obs import neighbours

    places = network(3)  # nine stations: everyone is in everyone's group
    b = batch([dict.fromkeys(NAMES, 0.0) for _ in places], places=places)
    b = replace(b, value=np.random.default_rng(0).normal(0, 10, len(b)))
    e, seen = expected(b), []

    def look(batch: ObservationBatch, ratio: np.ndarray, active: np.ndarray) -> np.ndarray:
        seen.append(ratio.copy())
        return np.full(len(batch), 1e9)

    monkeypatch.setattr(neighbours, "_widths", look)
    buddy_check(b, e)
    s = covariance(b, e)
    for i in range(len(b)):
        others = np.arange(len(b)) != i
        gain = np.linalg.solve(s[np.ix_(others, others)], s[others, i])
        ratio = (b.value[i] - gain @ b.value[others]) / np.sqrt(s[i, i] - gain @ s[others, i])
        assert seen[0][i] == pytest.approx(ratio, rel=1e-6)


def test_what_obeys_the_statistics_passes() -> None:
    fallen = sum((buddy_check(*drawn(seed)).quality != 0).sum() for seed in range(5))
    assert fallen <= 3  # of 720


@pytest.mark.parametrize(("name", "error"), [("t500", 9.0), ("z500", -90.0), ("u500", 25.0)])
def test_one_mistake_falls_and_its_neighbours_stand(name: str, error: float) -> None:
    b, e = drawn(1)
    place = int(np.flatnonzero(b.channel == name)[14])
    value = b.value.copy()
    value[place] += error
    struck = np.flatnonzero(buddy_check(replace(b, value=value), e).quality == Quality.BUDDY)
    partner = [place + 1] if name == "u500" else []
    assert struck.tolist() == [place, *partner]


def test_mistakes_side_by_side_do_not_hide_each_other() -> None:
    b, e = drawn(2, ("t500",))
    value = b.value.copy()
    value[[14, 15]] += 12.0
    assert np.flatnonzero(buddy_check(replace(b, value=value), e).quality).tolist() == [14, 15]


def test_a_front_that_moves_all_stations_is_no_mistake() -> None:
    b, e = drawn(3, ("t500",))
    moved = replace(b, value=b.value + 8.0 * np.exp(-((b.lon - 8.0) ** 2 + (b.lat - 8.0) ** 2) / 40.0))
    assert (abs(moved.value) > 6.0).any()
    assert codes(buddy_check(moved, e)).count("buddy") == 0


def test_height_and_temperature_tell_on_each_other() -> None:
    one = batch([{"t500": 3.0, "z500": -90.0}])
    assert "buddy" in codes(buddy_check(one, expected(one), k=3.0))
    balanced = batch([{"t500": 3.0, "z500": 30.0}])
    assert codes(buddy_check(balanced, expected(balanced), k=3.0)) == ["assimilated"] * 2


def test_wider_deviations_of_all_are_climate_and_not_error() -> None:
    b, e = drawn(4, ("t500",))
    assert codes(buddy_check(replace(b, value=1.8 * b.value), e)).count("buddy") <= 1


def test_rejected_values_neither_judge_nor_are_judged() -> None:
    b, e = drawn(5, ("t500",))
    value, quality = b.value.copy(), b.quality.copy()
    value[14], quality[14] = 500.0, Quality.GROSS
    checked = buddy_check(replace(b, value=value, quality=quality), e)
    assert checked.quality.tolist() == quality.tolist()


def test_values_without_background_and_empty_batches_pass() -> None:
    b, e = drawn(6, ("t500",))
    nothing = replace(e, mean=np.full(len(b), np.nan))
    assert buddy_check(b, nothing) is b
    empty = batch([])
    assert len(buddy_check(empty, expected(empty))) == 0


def test_a_covariance_that_interpolation_spoilt_is_mended() -> None:
    """Eigenvalues below those of the errors alone are lifted to one; the others stay."""
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    spoilt = (rotation * [-0.2, 1.5, 4.0]) @ rotation.T
    sound = (rotation * [1.0, 1.5, 4.0]) @ rotation.T
    lower = _factor(torch.from_numpy(np.stack([sound, spoilt]))).numpy()
    for factor in lower:
        np.testing.assert_allclose(factor @ factor.T, sound, atol=1e-12)
