"""The proving ground: Lorenz-96 through the assimilation's own conditioning and sampler, beside Kalman filters."""

import pytest
import torch

from tests.proving.lorenz96 import step, trajectory
from tests.proving.lorenz96_twin import enkf, letkf, score_based, three_d_var, twin
from tests.proving.ring_prior import Climate, RingPrior, climate, train
from tests.proving.single_mode import as_fields, as_variables, single_mode_prior


@pytest.fixture(scope="module")
def known() -> Climate:
    torch.set_num_threads(1)
    return climate(10_000)


def test_the_model_conserves_energy_without_forcing_and_friction() -> None:
    """The advection term does no work: d(x'x)/dt = -2 x'x + 2 F sum x."""
    x = trajectory(1, 3, seed=0)[0]
    dt = 1e-4
    found = (step(x, dt).square().sum(-1) - x.square().sum(-1)) / dt
    torch.testing.assert_close(found, -2 * x.square().sum(-1) + 16 * x.sum(-1), rtol=1e-2, atol=1.0)


def test_the_climate_is_the_known_one(known: Climate) -> None:
    assert known.mean == pytest.approx(2.34, abs=0.05)
    assert known.std == pytest.approx(3.64, abs=0.05)


def test_variables_become_fields_and_come_back(known: Climate) -> None:
    v = known.states[:5]
    torch.testing.assert_close(as_variables(as_fields(v)), v)
    prior = single_mode_prior(known.correlation.float())
    sigma = torch.full((5,), 0.7)
    exact = v @ torch.linalg.solve(known.correlation + 0.49 * torch.eye(40), known.correlation).float()
    torch.testing.assert_close(as_variables(prior.denoise(as_fields(v), sigma)), exact, rtol=1e-3, atol=1e-3)


def test_the_filters_have_their_known_scores(known: Climate) -> None:
    """DAPPER's figures: 3D-Var 0.41, perturbed observations with 40 members 0.22, LETKF with 7 members 0.22."""
    assert twin(three_d_var(0.02 * known.std**2 * known.correlation), 1, 500)[0] == pytest.approx(0.41, abs=0.05)
    assert twin(enkf(1.02, 7.0), 40, 400)[0] == pytest.approx(0.21, abs=0.03)
    assert twin(letkf(1.03, 4.0), 10, 400)[0] == pytest.approx(0.23, abs=0.03)


def test_conditioning_members_on_their_own_forecasts_is_as_good_as_the_filters(known: Climate) -> None:
    model = RingPrior(single_mode_prior(known.correlation.float()))
    error, spread = twin(score_based(known, model, 1.01, 10.0, 0, 0.0, own=True), 40, 300)
    assert error < 0.25
    assert 0.7 < spread / error < 1.4


def test_a_score_learns_what_is_not_gaussian(known: Climate) -> None:
    _, losses = train(known, 60)
    assert losses[0] == pytest.approx(1.0, abs=0.1)
    assert sum(losses[-10:]) / 10 < 1.02


def test_the_guided_sampler_with_a_trained_score_is_better_than_3d_var(known: Climate) -> None:
    """Short training, short run: well below 3D-Var's 0.41; docs/methods.md has longer ones."""
    model, _ = train(known, 60)
    error, spread = twin(score_based(known, model, 1.04, 7.0, 3, 0.02, own=True), 40, 60, spin_up=20)
    assert error < 0.38
    assert spread > 0.1
