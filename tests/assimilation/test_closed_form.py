"""The assimilation against exact Gaussian algebra: dense matrices on a small sphere, double precision."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.analysis import Settings
from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.guidance import JACOBIAN_BELOW, SpectralGuidance, misfit
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.points import PointOperator
from dacycle.cycler.assimilation.posterior import gaussian_deviations, gaussian_posterior
from dacycle.cycler.assimilation.sampler import sample
from dacycle.emulators.grid import bilinear, gaussian_grid

GRID = gaussian_grid(16, 32)
DEGREES, CHANNELS = 10, 3
IDENTITY = torch.eye(CHANNELS).expand(DEGREES, -1, -1)
TIME = datetime(2001, 8, 25, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def make_prior() -> GaussianPrior:
    """Three correlated channels with a red spectrum; nothing beyond the truncation."""
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(DEGREES, CHANNELS, CHANNELS, generator=generator)
    power = 60.0 * (1.0 + torch.arange(DEGREES)) ** -2.0
    return GaussianPrior(GRID, power[:, None, None] * mixing @ mixing.transpose(-1, -2), torch.zeros(CHANNELS))


def make_points(prior: GaussianPrior, n: int = 40) -> PointOperator:
    rng = np.random.default_rng(2)
    corners, weights = bilinear(GRID, rng.uniform(-85, 85, n), rng.uniform(0, 360, n))
    channel = torch.as_tensor(np.sort(rng.integers(0, CHANNELS, n)))
    interpolation = torch.as_tensor(weights, dtype=torch.float32)
    return PointOperator(prior, channel, torch.as_tensor(corners), interpolation, torch.full((n, 4), 3.0))


@dataclass(frozen=True)
class Dense:
    """The same problem as matrices over all coefficients: mean, covariance, and the operator of the soundings."""

    mean: Tensor
    covariance: Tensor


def dense_posterior(prior: GaussianPrior, observations: Observations) -> Dense:
    size = CHANNELS * DEGREES**2
    blocks = prior.covariance.double()[prior.harmonics.degree]  # (k, c, d)
    full = torch.zeros(CHANNELS, DEGREES**2, CHANNELS, DEGREES**2, dtype=torch.float64)
    index = torch.arange(DEGREES**2)
    full[:, index, :, index] = blocks
    full = full.reshape(size, size)
    unit = torch.eye(size).reshape(size, CHANNELS, DEGREES**2)
    rows = [observations.points.apply(prior.synthesise(unit)).T.double()]
    values, variances = [observations.innovation.double()], [torch.ones(len(observations.points)).double()]
    if observations.forecast is not None:
        term = observations.forecast
        rows.append(term.apply(unit).flatten(1).T.double())
        values.append(term.values.flatten().double())
        variances.append(term.variance.flatten().double())
    h, y, r = torch.cat(rows), torch.cat(values), torch.diag(torch.cat(variances))
    gain = full @ h.T @ torch.linalg.inv(h @ full @ h.T + r)
    return Dense(gain @ y, full - gain @ h @ full)


def make_observations(prior: GaussianPrior, forecast: bool) -> Observations:
    generator = torch.Generator().manual_seed(3)
    a, truth = prior.sample(1, generator)
    points = make_points(prior)
    innovation = points.apply(truth)[0] + torch.randn(len(points), generator=generator)
    if not forecast:
        return Observations(points, innovation, None)
    degrees = 7
    error = 0.3 * prior.covariance[:degrees]
    shrunk = prior.per_degree(torch.eye(CHANNELS).expand(DEGREES, -1, -1) * 0.7, a)
    drawn = prior.per_degree(
        prior.from_eigenvalues((0.21 * prior.eigenvalues).sqrt()), torch.randn(a.shape, generator=generator)
    )
    return Observations(
        points, innovation, ForecastTerm(prior, IDENTITY[:degrees], error, prior.synthesise(shrunk + drawn)[0])
    )


@pytest.mark.parametrize("solver", ["cholesky", "few", "gradients", "guessed"])
@pytest.mark.parametrize("forecast", [False, True])
def test_condition_solves_the_joint_system(forecast: bool, solver: str) -> None:
    prior = make_prior()
    observations = make_observations(prior, forecast)
    zero = torch.zeros(1, CHANNELS, *GRID.shape)
    residual = misfit(prior, observations, zero)
    system = Conditioner(prior, prior.covariance, prior.rest, observations, factored=solver == "cholesky")
    weights = system.solve(residual, None if solver in ("cholesky", "few") else 1e-6)
    assert ("_factor" in vars(system)) == (solver == "cholesky")
    if solver == "guessed":
        near = Conditioner(prior, prior.posterior_covariance(torch.tensor(5.0)), prior.rest, observations)
        guess = near.solve(residual).soundings
        weights = system.solve(residual, 1e-6, guess)
    exact = dense_posterior(prior, observations)
    spread = exact.covariance.diagonal().sqrt()
    assert (weights.increment.flatten().double() - exact.mean).abs().div(spread).max() < 0.02


def test_the_forecast_term_is_the_likelihood_of_a_calibrated_forecast() -> None:
    """Conditioning on f with the slope form must give back E[x | f] = f and covariance P for a calibrated forecast."""
    prior = make_prior()
    p = 0.3 * prior.covariance
    generator = torch.Generator().manual_seed(5)
    forecast = prior.sample(1, generator)[1] * 0.8
    term = ForecastTerm(prior, IDENTITY, p, forecast[0])
    nothing, nowhere = torch.zeros(0, 4), torch.zeros(0, 4, dtype=torch.long)
    empty = PointOperator(prior, torch.zeros(0, dtype=torch.long), nowhere, nothing, nothing)
    observations = Observations(empty, torch.zeros(0), term)
    exact = dense_posterior(prior, observations)
    blocks = p.double()[prior.harmonics.degree]
    found = exact.covariance.reshape(CHANNELS, DEGREES**2, CHANNELS, DEGREES**2)
    index = torch.arange(DEGREES**2)
    torch.testing.assert_close(found[:, index, :, index], blocks, rtol=2e-3, atol=1e-3)
    expected = prior.analyse(forecast)[0].double()
    torch.testing.assert_close(exact.mean.reshape(CHANNELS, -1), expected, rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize(("start", "jacobian_below"), [(5.0, 0.0), (5.0, JACOBIAN_BELOW), (80.0, JACOBIAN_BELOW)])
@pytest.mark.parametrize("forecast", [False, True])
def test_guided_sampling_of_a_gaussian_prior_has_the_exact_mean_and_spread(
    forecast: bool, start: float, jacobian_below: float
) -> None:
    """The default's ladder and solver, 400 members: guidance and solver together, against the exact posterior."""
    prior = make_prior()
    observations = make_observations(prior, forecast)
    exact = dense_posterior(prior, observations)
    noises = [MemberNoise(0, TIME, member) for member in range(1, 401)]
    x = gaussian_posterior(Conditioner(prior, prior.covariance, prior.rest, observations), noises)
    ladder, solver = Settings(start_level=start).plan()
    x = x + ladder[0] * torch.stack([noise.draw(x.shape[1:]) for noise in noises]) / prior.weights.sqrt()
    denoiser = SpectralGuidance(prior, jacobian_below).guide(prior.denoise, observations)
    drawn = prior.analyse(sample(denoiser, x, ladder, solver=solver)).flatten(1).double()
    prior_spread = prior.covariance[prior.harmonics.degree].diagonal(dim1=1, dim2=2).T.flatten().sqrt()
    spread = exact.covariance.diagonal().sqrt()
    assert ((drawn.mean(0) - exact.mean) / prior_spread).square().mean().sqrt() < 0.05
    ratio = (drawn.var(0).sum() / spread.square().sum()).sqrt()
    assert 0.95 < ratio < 1.05, ratio


def test_the_sounding_operator_and_its_adjoint_agree() -> None:
    prior = make_prior()
    points = make_points(prior)
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(2, CHANNELS, *GRID.shape, generator=generator)
    z = torch.randn(2, len(points), generator=generator)
    torch.testing.assert_close((points.apply(x) * z).sum(), (x * points.adjoint(z)).sum(), rtol=1e-4, atol=1e-4)
    a = torch.randn(2, CHANNELS, DEGREES**2, generator=generator)
    torch.testing.assert_close(points.spectral_apply(a), points.apply(prior.synthesise(a)), rtol=1e-3, atol=1e-3)
    left = (points.spectral_apply(a) * z).sum()
    torch.testing.assert_close(left, (a * points.spectral_adjoint(z)).sum(), rtol=1e-4, atol=1e-4)


def test_the_matrix_is_the_operator_applied_to_every_value() -> None:
    """For more places than are worked on at a time, unevenly shared by the channels, one of which nobody observes."""
    prior, rng, places = make_prior(), np.random.default_rng(4), 300
    corners, weights = bilinear(GRID, rng.uniform(-85, 85, places), rng.uniform(0, 360, places))
    own = np.concatenate([np.arange(places), rng.permutation(places)[:70]])
    channel = torch.as_tensor([0] * places + [2] * 70)
    scale = torch.as_tensor(rng.uniform(0.5, 2.0, (len(own), 1)), dtype=torch.float32).expand(-1, 4)
    at = torch.as_tensor(corners[own]), torch.as_tensor(weights[own], dtype=torch.float32)
    points = PointOperator(prior, channel, *at, scale)
    unit = torch.eye(len(own))
    applied = points.spectral_apply(prior.per_degree(prior.covariance, points.spectral_adjoint(unit)))
    torch.testing.assert_close(points.matrix(prior.covariance), applied, rtol=1e-4, atol=1e-4 * applied.max().item())
    roots = torch.randn(2, 6, CHANNELS, CHANNELS, generator=torch.Generator().manual_seed(5))
    roots = roots + roots.transpose(-1, -2)
    share = torch.as_tensor(rng.random(places), dtype=torch.float32)[own]
    u = torch.stack([share, 1 - share])
    white = sum(prior.per_degree(r, points.spectral_adjoint(w * unit, 6)) for r, w in zip(roots, u, strict=True))
    near = sum(w * points.spectral_apply(prior.per_degree(r, white)) for r, w in zip(roots, u, strict=True))
    found = points.matrix(prior.covariance, roots, u)
    torch.testing.assert_close(found, applied + near, rtol=1e-4, atol=1e-4 * found.max().item())


def test_a_matrix_per_degree_may_be_of_any_shape_but_there_must_be_one() -> None:
    prior, a = make_prior(), torch.randn(2, 4, CHANNELS, 36)
    matrices = torch.randn(DEGREES, 5, CHANNELS)
    by_coefficient = matrices[prior.harmonics.degree[:36]]
    torch.testing.assert_close(prior.per_degree(matrices, a), torch.einsum("kpq,nmqk->nmpk", by_coefficient, a))
    with pytest.raises(ValueError, match="longer"):
        prior.per_degree(matrices[:5], a)


def test_the_cotangent_is_the_gradient_of_the_log_likelihood() -> None:
    prior = make_prior()
    observations = make_observations(prior, forecast=True)
    x = torch.randn(1, CHANNELS, *GRID.shape, generator=torch.Generator().manual_seed(8)).requires_grad_()
    z = Conditioner(prior, prior.covariance, prior.rest, observations).solve(misfit(prior, observations, x.detach()))
    assert z.forecast is not None
    of_soundings, of_forecast = misfit(prior, observations, x)
    assert of_forecast is not None
    (gradient,) = torch.autograd.grad((of_soundings * z.soundings).sum() + (of_forecast * z.forecast).sum(), x)
    torch.testing.assert_close(z.cotangent(prior, observations), -gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("forecast", [False, True])
def test_deviations_have_the_posterior_covariance_and_no_mean(forecast: bool) -> None:
    prior = make_prior()
    observations = make_observations(prior, forecast)
    exact = dense_posterior(prior, observations)
    system = Conditioner(prior, prior.covariance, prior.rest, observations)
    noises = [MemberNoise(0, TIME, member) for member in range(1, 801)]
    a = gaussian_deviations(system, noises).flatten(1).double()
    torch.testing.assert_close(a[0::2], -a[1::2], rtol=1e-4, atol=1e-5)
    spread = exact.covariance.diagonal().sqrt()
    # Two directions that observations couple: correlations as well as variances are the posterior's.
    values, vectors = torch.linalg.eigh(exact.covariance)
    for k in (0, len(values) // 2, -1):
        assert 0.9 < ((a @ vectors[:, k]).square().mean() / values[k]).sqrt() < 1.1
    assert 0.98 < (a.square().mean(0).sum() / spread.square().sum()).sqrt() < 1.02


def test_the_mean_of_a_pair_of_members_is_the_exact_posterior_mean() -> None:
    prior = make_prior()
    observations = make_observations(prior, forecast=True)
    exact = dense_posterior(prior, observations)
    x = gaussian_posterior(
        Conditioner(prior, prior.covariance, prior.rest, observations),
        [MemberNoise(0, TIME, member) for member in (3, 4)],
    )
    drawn = prior.analyse(x).flatten(1).double()
    spread = exact.covariance.diagonal().sqrt()
    assert ((drawn.mean(0) - exact.mean).abs() / spread).max() < 0.02
    assert ((drawn[0] - exact.mean) / spread).square().mean().sqrt() > 0.5
