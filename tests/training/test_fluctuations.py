"""Fluctuations: known variances, and the fit against processes whose variance is known."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from torch import Tensor

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.coarse import EmulatorData
from dacycle.cycler.training.fluctuations import (
    Correction,
    FluctuationSettings,
    corrected,
    fit_fluctuations,
    groups,
)
from dacycle.cycler.training.free_run import free_run
from dacycle.emulators.attractor import AttractorStatistics
from dacycle.emulators.fluctuations import Fluctuations
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.lucie import Lucie, LucieArguments, Statistics
from dacycle.errors import BundleError

DEGREES = 6
CHANNELS = DEFAULT_CHANNELS[:2]
GRID = gaussian_grid(8, 16)
START = datetime(2001, 3, 4, tzinfo=UTC)
LEFT = 0.7


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def test_the_variance_is_that_of_a_process_of_first_order() -> None:
    """b <- rho kept b + sqrt(added) w has the variance added / (1 - (rho kept)^2)."""
    rho, kept, added = 0.8, torch.tensor([[1.0], [0.5]]), torch.tensor([[0.4], [2.0]])
    step, noise = Fluctuations(kept, added, torch.eye(2)[None]), generator()
    b, total = torch.zeros(4000, 2, 1), torch.zeros(2, 1)
    for number in range(60):
        b = step(rho * b, noise)
        if number >= 30:
            total += b.square().mean(0) / 30
    torch.testing.assert_close(total, added / (1 - (rho * kept) ** 2), rtol=0.03, atol=0.0)


def test_none_change_nothing_and_the_same_seed_gives_the_same() -> None:
    b = torch.randn(2, 3, DEGREES**2, generator=generator())
    torch.testing.assert_close(Fluctuations.none(3, DEGREES)(b, generator()), b)
    some = Fluctuations(torch.ones(3, DEGREES**2), torch.ones(3, DEGREES**2), torch.eye(3).repeat(DEGREES, 1, 1))
    torch.testing.assert_close(some(b, generator()), some(b, generator()), rtol=0.0, atol=0.0)
    assert not torch.equal(some(b, generator()), b)


def test_channels_fluctuate_together_as_in_the_climate() -> None:
    """roots S of a correlation: the increments' covariance is sqrt(added) S S' sqrt(added)."""
    correlation = torch.tensor([[1.0, -0.7], [-0.7, 1.0]])
    roots, added = torch.linalg.cholesky(correlation)[None], torch.tensor([[4.0], [0.25]])
    b = Fluctuations(torch.ones(2, 1), added, roots)(torch.zeros(40000, 2, 1), generator())[..., 0]
    expected = added.sqrt() * correlation * added.sqrt().T
    torch.testing.assert_close(b.T @ b / len(b), expected, rtol=0.03, atol=0.01)


def test_corrections_find_the_climate_of_processes_that_lack_or_exceed_it() -> None:
    """Of b <- rho kept b + sqrt(own + added) w: until (own + added) / (1 - (rho kept)^2) is one."""
    rho = torch.tensor([[0.5, 0.9, 0.95, 0.9, 0.95]])
    own = torch.tensor([[0.1, 0.001, 0.05, 0.6, 0.3]])  # variances 0.13, 0.005, 0.51, 3.2, 3.1
    now = Correction(torch.zeros_like(rho), torch.zeros_like(rho))

    def variance(c: Correction) -> torch.Tensor:
        return (own + c.added) / (1 - (rho * (1 - c.damped)) ** 2)

    for _ in range(300):
        now = corrected(now, variance(now), 0.03)
    torch.testing.assert_close(variance(now), torch.ones_like(rho), rtol=0.02, atol=0.0)
    assert ((now.added == 0) | (now.damped == 0)).all()
    assert (now.added[0, :3] > 0).all()
    assert (now.damped[0, 3:] > 0).all()


def test_what_was_added_too_much_is_taken_back_before_anything_is_damped() -> None:
    before = Correction(torch.tensor([[0.02, 0.0, 0.001]]), torch.tensor([[0.0, 0.02, 0.0]]))
    after = corrected(before, torch.tensor([[1.2, 0.8, 1.5]]), 0.05)
    torch.testing.assert_close(after.added, torch.tensor([[0.01, 0.0, 0.0]]))
    torch.testing.assert_close(after.damped, torch.tensor([[0.0, 0.015, 0.012]]))


def test_groups_are_the_sine_and_cosine_of_a_degree_and_order() -> None:
    group = groups(DEGREES)
    degree = torch.repeat_interleave(torch.arange(DEGREES), 2 * torch.arange(DEGREES) + 1)
    order = torch.cat([(torch.arange(2 * n + 1) + 1) // 2 for n in range(DEGREES)])
    together = group[:, None] == group
    assert torch.equal(together, (degree[:, None] == degree) & (order[:, None] == order))
    assert int(group.max()) + 1 == DEGREES * (DEGREES + 1) // 2


def damped(attractor: bool = True, left: float = LEFT, turn: int = 0, push: Tensor | None = None) -> Lucie:
    """Every step leaves that share of the anomaly, so many points further east: weather that nobody can foresee.
    A ``push`` at each leads away from the climate."""
    found = Lucie(
        CHANNELS,
        GRID,
        LucieArguments(embed=8, layers=1, advection=False, attractor=attractor),
        Statistics.blank(2, *GRID.shape),
        AttractorStatistics.blank(2, *GRID.shape),
    )
    moved = torch.zeros(()) if push is None else push
    found.step = lambda z, insolation: (left * z.roll(turn, -1) + moved, z[:, 0])  # type: ignore[method-assign]
    return found


def white(lucie: Lucie) -> EmulatorData:
    """States whose coefficients have unit variance."""
    assert lucie.attractor is not None
    harmonics = lucie.attractor.harmonics
    states = harmonics.synthesise(torch.randn(800, 2, len(harmonics.degree), generator=generator())).numpy()
    times = [START + k * timedelta(hours=6) for k in range(len(states))]
    nothing = np.zeros(GRID.shape, np.float32)
    rain = np.zeros((len(states), *GRID.shape), np.float32)
    return EmulatorData(states, rain, times, [(0, len(states))], GRID, CHANNELS, nothing, nothing)


def test_a_step_that_loses_variance_is_given_it_back() -> None:
    """added = 1 - LEFT^2, from the first degree on; below, everything stays."""
    lucie = damped()
    settings = FluctuationSettings(first_degree=3, rounds=30, days=10, settling=2, members=8)
    found = fit_fluctuations(lucie, white(lucie), settings).fluctuations
    assert found is not None
    assert lucie.attractor is not None
    degree = lucie.attractor.harmonics.degree
    assert (found.added[:, degree < 3] == 0).all()
    torch.testing.assert_close(found.kept, torch.ones_like(found.kept), atol=0.02, rtol=0.0)
    free: Tensor = found.added[:, degree >= 3]
    assert float(free.mean()) == pytest.approx(1 - LEFT**2, rel=0.05)
    assert float(free.std()) < 0.15  # of a group's climate, of which 800 states are a sample, and of its rounds


@pytest.mark.parametrize(("left", "turn"), [(0.1, 0), (0.96, 4)])
def test_what_is_forgotten_at_once_and_waves_that_travel_take_no_more_rounds(left: float, turn: int) -> None:
    """With one rate for all, the first would have half of what it lacks after twelve rounds; were waves that move on
    taken for forgotten, the second would be corrected beyond all bounds."""
    lucie = damped(left=left, turn=turn)
    settings = FluctuationSettings(first_degree=3, rounds=12, days=40, settling=8, members=8)
    found = fit_fluctuations(lucie, white(lucie), settings).fluctuations
    assert found is not None
    assert lucie.attractor is not None
    free = lucie.attractor.harmonics.degree >= 3
    variance = found.added[:, free] / (1 - (left * found.kept[:, free]) ** 2)
    assert float(variance.mean()) == pytest.approx(1, rel=0.07)
    assert float(variance.std()) < 0.25


def test_a_mean_departure_from_the_climate_is_not_taken_for_variance() -> None:
    """Pushed by 0.3 a step, a coefficient stays a standard deviation off; of its variance it lacks as much as ever."""
    harmonics = damped().attractor.harmonics  # type: ignore[union-attr]
    push = harmonics.synthesise(torch.full((2, len(harmonics.degree)), 1 - LEFT))
    lucie = damped(push=push)
    settings = FluctuationSettings(first_degree=3, rounds=30, days=15, settling=5, members=8)
    found = fit_fluctuations(lucie, white(lucie), settings).fluctuations
    assert found is not None
    free = harmonics.degree >= 3
    assert float(found.added[:, free].mean()) == pytest.approx(1 - LEFT**2, rel=0.07)
    assert float(found.kept[:, free].mean()) == pytest.approx(1, abs=0.01)


def test_fluctuations_found_before_are_gone_on_from() -> None:
    lucie, few = damped(), FluctuationSettings(first_degree=3, rounds=2, days=10, settling=2, members=8)
    assert lucie.attractor is not None
    free = lucie.attractor.harmonics.degree >= 3
    data = white(lucie)
    none = fit_fluctuations(lucie, data, few).fluctuations
    known = fit_fluctuations(lucie, data, replace(few, rounds=30))
    more = fit_fluctuations(known, data, few).fluctuations
    assert none is not None
    assert more is not None
    assert float(none.added[:, free].mean()) < 0.4
    assert float(more.added[:, free].mean()) == pytest.approx(1 - LEFT**2, rel=0.07)


def test_a_free_run_fluctuates_by_its_seed_and_a_forecast_never() -> None:
    lucie = damped()
    start = white(lucie).states[0]
    calm = free_run(lucie, start, START, 6)
    lucie.fluctuations = Fluctuations(torch.ones(2, 64), torch.full((2, 64), 0.51), torch.eye(2).repeat(8, 1, 1))
    np.testing.assert_array_equal(free_run(lucie, start, START, 6).spectrum, calm.spectrum)
    first, same, other = (free_run(lucie, start, START, 6, seed=seed).spectrum for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert first[:, 3:8].sum() > 3 * calm.spectrum[:, 3:8].sum()
    forecast = lucie.forecast(torch.from_numpy(start)[None], START, 12)
    torch.testing.assert_close(forecast, LEFT**2 * torch.from_numpy(start)[None], rtol=1e-4, atol=1e-4)


def test_without_an_attractor_nothing_can_fluctuate() -> None:
    with pytest.raises(BundleError, match="expected an emulator with an attractor"):
        fit_fluctuations(damped(attractor=False), white(damped()), FluctuationSettings())
