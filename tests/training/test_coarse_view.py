"""What a coarse grid shows of a state and what follows for the rest, against dense algebra."""

from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.fields import coarsen, regrid
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.smoothing import Smoothing
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training import coarse_view, super_resolution
from dacycle.cycler.training.coarse_view import CoarseView
from dacycle.cycler.training.free_run import zonal_spectrum
from dacycle.cycler.training.super_resolution import Refiner
from dacycle.emulators.grid import gaussian_grid

CHANNELS = ("2t", "u850", "v850", "z850")
GRID, COARSE, DEGREES, N = gaussian_grid(16, 32), gaussian_grid(4, 8), 9, len(CHANNELS)
LATITUDE = torch.as_tensor(np.deg2rad(GRID.lat), dtype=torch.float32)[:, None].expand(GRID.shape)
STD = 2.0 + torch.stack([0.5 * torch.cos(LATITUDE), 0 * LATITUDE, 0 * LATITUDE, torch.sin(LATITUDE) ** 2])
TIME = datetime(2005, 8, 26, tzinfo=UTC)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def prior() -> GaussianPrior:
    root = torch.randn(DEGREES, N, N, generator=generator()) / (1 + torch.arange(DEGREES))[:, None, None]
    return GaussianPrior(GRID, root @ root.transpose(-1, -2) + 0.01 * torch.eye(N), torch.zeros(N))


def balance(smoothed: bool) -> Balance:
    turn, none = torch.sin(LATITUDE), 0 * LATITUDE
    coefficients = torch.stack([torch.stack([none, -turn]), torch.stack([turn, none])])
    smoothing = Smoothing(GRID, torch.stack([torch.linspace(1, 0.2, 7), torch.linspace(1, 0.6, 7)]))
    spread = (0.5 + 0.2 * torch.cos(LATITUDE)).expand(2, *GRID.shape)
    return Balance(CHANNELS, STD.numpy(), coefficients, spread, smoothing if smoothed else None)


@pytest.fixture(params=["states", "control variables", "smoothed heights"])
def view(request: pytest.FixtureRequest) -> CoarseView:
    """Of a prior whose variables are states, or are not."""
    known = None if request.param == "states" else balance(request.param == "smoothed heights")
    return CoarseView(prior(), known, STD, COARSE)


def coefficients(count: int) -> Tensor:
    return torch.randn(count, N, DEGREES**2, generator=generator())


def seen(view: CoarseView) -> Tensor:
    """H as a matrix, of the prior's coefficients."""
    unit = torch.eye(N * DEGREES**2).view(-1, N, DEGREES**2)
    return view.apply(prior().synthesise(unit)).flatten(1).T


def test_what_is_seen_has_its_adjoint(view: CoarseView) -> None:
    a, z = coefficients(2), torch.randn(2, N, 16, generator=generator())
    left = (view.apply(prior().synthesise(a)) * z).sum((1, 2))
    right = (a * view.adjoint(z)).sum((1, 2))
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-3)


def test_what_is_seen_is_the_physical_state_truncated() -> None:
    """Without a balance the state is y itself; with one, its winds follow heights of all degrees."""
    y = prior().synthesise(coefficients(2))
    for known in (None, balance(False), balance(True)):
        states = (y if known is None else known.state(y)) * STD
        view = CoarseView(prior(), known, STD, COARSE)
        torch.testing.assert_close(view.values(regrid(states, GRID, COARSE)), view.apply(y), rtol=1e-4, atol=1e-4)


def test_conditioning_is_the_closed_form(view: CoarseView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse_view, "FLOOR", 1e-6)
    known, h = prior(), seen(view).double()
    truth, mean = coefficients(2)[:, None]
    values = view.apply(known.synthesise(truth))
    spread = known.covariance[known.harmonics.degree].double()  # (coefficients, channels, channels)
    v = torch.einsum("kcd,kj->ckdj", spread, torch.eye(len(spread), dtype=torch.float64)).reshape(h.shape[1], -1)
    away = values.flatten().double() - h @ mean.flatten().double()
    expected = mean.flatten() + v @ h.T @ torch.linalg.solve(h @ v @ h.T, away)
    found = view.conditioned(known.synthesise(mean), values, known.eigenvalues, 1e-5)
    error = known.analyse(found).flatten() - expected
    assert error.norm() < 0.01 * (expected - mean.flatten()).norm()


def test_what_is_put_right_is_seen_exactly_and_leaves_smaller_scales(view: CoarseView) -> None:
    y, other = prior().synthesise(coefficients(2))[:, None]
    values = view.apply(other)
    found = view.exactly(y, values)
    torch.testing.assert_close(view.apply(found), values, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(view.exactly(found, values), found, rtol=1e-4, atol=1e-4)


def test_a_gaussian_pair_of_members_has_the_posterior_mean_and_the_coarse_state(
    balanced_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny prior's network adds nothing, so members are draws of a Gaussian: what is random cancels in pairs."""
    torch.set_num_threads(1)
    monkeypatch.setattr(super_resolution, "TOLERANCE", 0.01)  # what the solver leaves of a tenth would not cancel
    bundle = balanced_bundle
    refiner = Refiner(bundle, 8)
    grid, std = bundle.grid, bundle.climatology.std
    x = GaussianPrior(grid, refiner._prior.climate.covariance, torch.zeros(len(bundle.channels)))
    truth = bundle.climatology.mean(TIME) + std * x.sample(1, generator())[1][0].numpy()
    coarse = coarsen(bundle, truth)
    members = refiner.refine(np.stack([coarse, coarse]), TIME, 3)
    dry = [k for k, c in enumerate(bundle.channels) if c.variable != "q"]  # humidity below zero was cut off
    scale = std.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(
        (coarsen(bundle, members) / scale)[:, dry], np.stack([coarse / scale] * 2)[:, dry], atol=2e-3
    )
    mean, expected = members.mean(0), refiner.gaussian_mean(coarse, TIME)
    apart = np.sqrt(np.square((mean - expected) / std)[dry].mean())
    spread = np.sqrt(np.square((members[0] - members[1]) / 2 / std)[dry].mean())
    assert apart < 0.1 * spread


def test_members_of_a_gaussian_world_have_its_energy_with_few_levels(
    balanced_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth and a draw given its coarse view have one distribution."""
    torch.set_num_threads(1)
    monkeypatch.setattr(coarse_view, "FLOOR", 1e-4)
    monkeypatch.setattr(super_resolution, "TOLERANCE", 1e-3)
    bundle, refiner = balanced_bundle, Refiner(balanced_bundle, 3)
    refiner._prior.gaussian.rest.zero_()  # white beyond the truncation, of which draws have the mean alone
    truths = refiner._states(refiner._prior.gaussian.sample(96, generator())[1], TIME)
    members = refiner.refine(coarsen(bundle, truths), TIME, 5)
    dry = [k for k, c in enumerate(bundle.channels) if c.variable != "q"]
    mean, std = bundle.climatology.mean(TIME), bundle.climatology.std
    found, expected = (
        np.mean([zonal_spectrum((x - mean) / std, bundle.grid)[dry] for x in each], 0) for each in (members, truths)
    )
    unseen = slice(bundle.coarse.shape[0], None)
    ratio = found[:, unseen].sum(1) / expected[:, unseen].sum(1)
    assert float(ratio.mean()) == pytest.approx(1, abs=0.1)  # of 96 states some hundredths are chance
