"""A forecast that is better in some places than in others, against dense Gaussian algebra."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.ageing import YOUNG, Age
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.background import LocalBackground, pad
from dacycle.cycler.assimilation.error_level import ErrorLevel
from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.guidance import SpectralGuidance
from dacycle.cycler.assimilation.inflation_factor import InflationFactor, Usual
from dacycle.cycler.assimilation.local_error import local_weights, node_weights, relative_spread
from dacycle.cycler.assimilation.local_term import LocalTerm
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.posterior import gaussian_deviations, gaussian_posterior
from dacycle.cycler.assimilation.sampler import sample
from dacycle.cycler.assimilation.small_scales import SmallScales
from dacycle.cycler.bundle import NODES, Bundle
from dacycle.emulators.season import season_basis
from tests.assimilation.test_analysis import made_up
from tests.assimilation.test_closed_form import (
    CHANNELS,
    DEGREES,
    GRID,
    IDENTITY,
    make_observations,
    make_prior,
)

TIME = datetime(2001, 8, 25, tzinfo=UTC)
KNOWN = 7  # degrees of the forecast
SHARES = (0.05, 0.2, 0.5, 0.8)


def spread() -> Tensor:
    """A relative spread (nlat, nlon) between 0.14 and 2.5, smooth."""
    lat, lon = (torch.as_tensor(np.deg2rad(axis), dtype=torch.float32) for axis in (GRID.lat, GRID.lon))
    return torch.exp(-0.5 + 1.4 * lat.cos()[:, None] * lon.cos())


def placed(shares: tuple[float, ...] = SHARES, small: SmallScales | None = None) -> tuple[Observations, Conditioner]:
    """The closed-form test's soundings and forecast, whose error is the share p of the climate's, node by node."""
    prior = make_prior()
    observations = make_observations(prior, forecast=True)
    field = 0.7 * prior.sample(1, torch.Generator().manual_seed(3))[1][0]
    terms = [ForecastTerm(prior, IDENTITY[:KNOWN], p * prior.covariance[:KNOWN], field) for p in shares]
    observations = replace(
        observations, forecast=terms[1], local=LocalTerm(prior, terms, node_weights(spread(), NODES), small)
    )
    return observations, Conditioner(prior, prior.covariance, prior.rest, observations)


def uneven() -> SmallScales:
    """Small scales of half the size in the north, of twice that in the south, in the first channel."""
    rows = np.ones((CHANNELS, GRID.shape[0]), np.float32)
    rows[0] = 2.0 ** -np.sin(np.deg2rad(GRID.lat))
    return SmallScales(make_prior(), rows, None)


def dense(system: Conditioner) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the posterior; background: sum u f, and sum u P^1/2 squared, from fields on the grid."""
    prior, observations = system.prior, system.observations
    assert observations.local is not None
    size, count = CHANNELS * DEGREES**2, KNOWN**2
    unit = torch.eye(size).view(size, CHANNELS, -1)
    root = prior.per_degree(prior.from_eigenvalues(prior.eigenvalues.sqrt()), unit)
    near, beyond = root.clone(), root.clone()
    near[..., count:], beyond[..., :count] = 0, 0
    near, expected = prior.synthesise(near), torch.zeros(CHANNELS, *GRID.shape)
    image = torch.zeros_like(near)
    for weight, term, p in zip(observations.local.weights, observations.local.terms, SHARES, strict=True):
        inverse = torch.linalg.inv(term.transform)[prior.harmonics.degree[:count]]
        told = torch.einsum("kcd,dk->ck", inverse, term.values * (1 - p))
        expected += weight * prior.synthesise(pad(told, DEGREES**2)[None])[0]
        image += weight * p**0.5 * near
    if observations.local.small is not None:
        factor = observations.local.small._factor
        beyond = prior.analyse(factor * prior.synthesise(beyond))
    rows = (prior.analyse(image) + beyond).flatten(1).double()
    square = rows.T @ rows
    mean = prior.analyse(expected[None])[0].flatten().double()
    h = observations.points.apply(prior.synthesise(unit)).T.double()
    gain = torch.linalg.solve(h @ square @ h.T + torch.eye(len(h)).double(), h @ square).T
    return mean + gain @ (observations.innovation.double() - h @ mean), square - gain @ h @ square


def test_weights_add_up_to_one_everywhere() -> None:
    weights = node_weights(torch.tensor([[1e-3, NODES[0], 0.3], [NODES[2], 1.4, 50.0]]), NODES)
    torch.testing.assert_close(weights.sum(0), torch.ones(2, 3))
    torch.testing.assert_close(weights[:, 0, 1], torch.tensor([1.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(weights[:, 1, 0], torch.tensor([0.0, 0.0, 1.0, 0.0]), atol=1e-6, rtol=0)
    assert weights[-1, 1, 2] == 1.0


@pytest.mark.parametrize("small", [None, uneven()], ids=["even", "uneven small scales"])
def test_operators_of_a_local_background_agree(small: SmallScales | None) -> None:
    observations, system = placed(small=small)
    background, points = system.background, observations.points
    assert isinstance(background, LocalBackground)
    z = torch.randn(3, len(points), generator=torch.Generator().manual_seed(0))
    seen = background.seen(z)
    torch.testing.assert_close(z @ background.matrix(), seen, rtol=1e-3, atol=1e-3 * float(seen.abs().max()))
    spread_out = points.spectral_apply(background.spread(z))
    # The fields in between are truncated, the values at the points are not.
    assert (spread_out - seen).norm() < 0.03 * seen.norm()
    ratio = background.variance() / background.matrix().diagonal()
    assert ratio.min() > 0.95
    assert ratio.max() < 1.6  # this grid's corners lie far apart


@pytest.mark.parametrize("small", [None, uneven()], ids=["even", "uneven small scales"])
def test_draws_are_of_the_posterior_of_the_local_background(small: SmallScales | None) -> None:
    _, system = placed(small=small)
    mean, covariance = dense(system)
    noises = [MemberNoise(0, TIME, member) for member in range(1, 801)]
    a = gaussian_deviations(system, noises).flatten(1).double()
    assert 0.97 < (a.square().mean(0).sum() / covariance.diagonal().sum()).sqrt() < 1.03
    values, vectors = torch.linalg.eigh(covariance)
    for k in (len(values) // 2, -1):
        assert 0.9 < ((a @ vectors[:, k]).square().mean() / values[k]).sqrt() < 1.1
    drawn = system.prior.analyse(gaussian_posterior(system, noises[:2])).flatten(1).double().mean(0)
    scale = system.prior.covariance[system.prior.harmonics.degree].diagonal(dim1=1, dim2=2).T.flatten().sqrt()
    # Interpolated between rows of the grid, a factor on fields is not quite one on values.
    assert ((drawn - mean) / scale).square().mean().sqrt() < (0.02 if small is None else 0.03)


def test_guided_members_follow_the_local_error() -> None:
    """The default's ladder: what blending costs at its levels of noise stays small against what places differ by."""
    observations, system = placed()
    prior = system.prior
    mean, covariance = dense(system)
    noises = [MemberNoise(0, TIME, member) for member in range(1, 401)]
    ladder, solver = Settings().plan()
    x = gaussian_posterior(system, noises)
    x = x + ladder[0] * torch.stack([noise.draw(x.shape[1:]) for noise in noises]) / prior.weights.sqrt()
    members = sample(SpectralGuidance(prior).guide(prior.denoise, observations), x, ladder, solver=solver)
    drawn = prior.analyse(members).flatten(1).double()
    scale = prior.covariance[prior.harmonics.degree].diagonal(dim1=1, dim2=2).T.flatten().sqrt()
    assert ((drawn.mean(0) - mean) / scale).square().mean().sqrt() < 0.15
    exact = torch.linalg.cholesky(covariance + 1e-6 * covariance.diagonal().mean() * torch.eye(len(covariance)))
    fields = (exact @ torch.randn(len(exact), 800, generator=torch.Generator().manual_seed(1)).double()).T.float()
    wanted = prior.synthesise(fields.view(800, CHANNELS, -1)).var(0).mean(0)
    found = members.var(0).mean(0)
    for where in (spread() < 0.3, spread() > 1.2):
        assert 0.82 < (found[where].mean() / wanted[where].mean()).sqrt() < 1.18
    assert wanted[spread() < 0.3].mean() < 0.5 * wanted[spread() > 1.2].mean()


def test_equal_nodes_are_as_no_nodes() -> None:
    observations, _ = placed()
    prior = make_prior()
    assert observations.local is not None
    same = LocalTerm(prior, [observations.local.terms[1]] * 4, observations.local.weights)
    zero = torch.zeros(1, CHANNELS, *GRID.shape)
    with_nodes, without = (
        Conditioner(prior, prior.covariance, prior.rest, o).solve(
            (o.innovation - o.points.apply(zero), o.misfit(prior.analyse(zero))), tolerance=1e-6
        )
        for o in (replace(observations, local=same), replace(observations, local=None))
    )
    assert (with_nodes.increment - without.increment).norm() < 1e-3 * without.increment.norm()


def made_local(bundle: Bundle) -> Bundle:
    """Perfect forecasts where members agree, and useless ones where they do not."""
    climate = bundle.forecast_error[:, range(len(bundle.channels)), range(len(bundle.channels))]
    unit = np.zeros_like(bundle.forecast_error)
    unit[:, range(climate.shape[1]), range(climate.shape[1])] = climate
    error = np.stack([0.05 * unit, 0.05 * unit, unit, 20 * unit])
    return replace(bundle, local_slope=np.stack([bundle.forecast_slope] * 4), local_error=error.astype(np.float32))


def members(bundle: Bundle, agreeing_north: bool) -> np.ndarray:
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(6, len(bundle.channels), *bundle.coarse.shape)).astype(np.float32)
    north = bundle.coarse.lat[:, None] > 0
    size = np.where(north == agreeing_north, 0.02, 1.0)
    std = bundle.climatology.std.mean((1, 2))[:, None, None]
    noise -= noise.mean(0)
    return np.asarray(290.0 + noise * size * std, dtype=np.float32)


def test_relative_spread_is_large_where_members_differ(tiny_bundle: Bundle) -> None:
    prior = Analyst(tiny_bundle, Settings()).prior.gaussian
    std = tiny_bundle.climatology.std
    r = relative_spread(tiny_bundle, std, prior, members(tiny_bundle, agreeing_north=True))
    rows = torch.as_tensor(tiny_bundle.grid.lat.copy())
    assert float(r[rows > 35].max()) < 0.3
    assert float(r[rows < -35].min()) > 0.5
    assert float((r * prior.weights).mean()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("count", "age", "known"),
    [(6, YOUNG, True), (3, YOUNG, False), (6, Age(24.0, 12.0), False), (6, Age(6.0, 6.0), True)],
)
def test_an_old_forecast_and_a_small_ensemble_are_taken_as_alike_everywhere(
    tiny_bundle: Bundle, count: int, age: Age, known: bool
) -> None:
    analyst = Analyst(tiny_bundle, Settings())
    forecast = members(tiny_bundle, True)[:count]
    bundle, std = made_local(tiny_bundle), tiny_bundle.climatology.std
    assert (local_weights(bundle, std, analyst.prior.gaussian, forecast, age) is not None) == known
    assert local_weights(tiny_bundle, std, analyst.prior.gaussian, forecast, age) is None


def test_members_spread_by_what_the_forecasts_spread_says(tiny_bundle: Bundle) -> None:
    bundle = made_local(tiny_bundle)
    analyst = Analyst(bundle, Settings(steps=4))
    known = Adaptation.none(tuple(c.name for c in bundle.channels))
    batch, _ = made_up(tiny_bundle)
    forecast = members(tiny_bundle, agreeing_north=True)
    drawn = analyst.draw(batch.analysis_time, batch, forecast, range(1, 17), 0, adaptation=known)
    variance = (drawn / bundle.climatology.std).var(0).mean((0, 2))
    north, south = bundle.grid.lat > 35, bundle.grid.lat < -35
    assert variance[north].mean() < 0.8 * variance[south].mean()


def test_what_is_added_follows_channel_and_what_the_forecasts_spread_says(tiny_bundle: Bundle) -> None:
    plain = replace(made_local(tiny_bundle), analysis_inflation=np.full(8, 0.5, np.float32))
    even = np.ones((4, len(plain.channels)), np.float32)
    other = even.copy()
    other[:, 3], other[2:, 4] = 0.0, 4.0
    never = np.zeros(len(plain.channels), np.float32)
    batch, _ = made_up(tiny_bundle)
    forecast = members(tiny_bundle, agreeing_north=True)
    without = replace(plain, analysis_inflation=np.zeros(8, np.float32))
    before, same, chosen = (
        Analyst(b, Settings(steps=4)).draw(TIME, batch, forecast, [1, 2], 0)
        for b in (
            without,
            replace(plain, inflation=InflationFactor(even, never)),
            replace(plain, inflation=InflationFactor(other, never)),
        )
    )
    scale = plain.climatology.std
    np.testing.assert_allclose(chosen[:, 3] / scale[3], before[:, 3] / scale[3], atol=1e-5)
    added = [((states - before) / scale)[:, 4].astype(np.float64) for states in (same, chosen)]
    north, south = plain.grid.lat > 35, plain.grid.lat < -35
    np.testing.assert_allclose(added[1][:, north], added[0][:, north], atol=1e-3)
    assert np.square(added[1][:, south]).mean() > 2.0 * np.square(added[0][:, south]).mean()
    np.testing.assert_allclose(added[1].mean(0), 0.0, atol=1e-3)  # the mean of a pair stays


def test_what_is_added_follows_the_season(tiny_bundle: Bundle) -> None:
    """In a season of 1.5 times the year's variance, for k = 2, twice as much variance is added, everywhere."""
    plain = replace(made_local(tiny_bundle), analysis_inflation=np.full(8, 0.5, np.float32))
    even, k = np.ones((4, len(plain.channels)), np.float32), np.full(len(plain.channels), 2.0, np.float32)
    varies = np.zeros((4, len(plain.channels), *plain.coarse.shape), np.float32)
    varies[0] = 0.5 / season_basis(TIME)[1]
    batch, _ = made_up(tiny_bundle)
    forecast = members(tiny_bundle, agreeing_north=True)
    year, season = (
        replace(plain, inflation=InflationFactor(even, k), seasonal_variance=s) for s in (0 * varies, varies)
    )
    none = replace(plain, analysis_inflation=np.zeros(8, np.float32))
    before, once, twice = (
        Analyst(b, Settings(steps=4)).draw(TIME, batch, forecast, [1, 2], 0) for b in (none, year, season)
    )
    scale = plain.climatology.std
    added = [((states - before) / scale).astype(np.float64) for states in (once, twice)]
    np.testing.assert_allclose(np.square(added[1]).mean(), 2.0 * np.square(added[0]).mean(), rtol=0.01)


def test_what_is_added_follows_the_level_of_forecast_errors(tiny_bundle: Bundle) -> None:
    """Errors of 2.25 times their usual variance, followed with the power 1/2: 1.5 times; for k = 2, twice as much is
    added. Without a level the season alone decides."""
    n = len(tiny_bundle.channels)
    even, k = np.ones((4, n), np.float32), np.full(n, 2.0, np.float32)
    plain = replace(made_local(tiny_bundle), analysis_inflation=np.full(8, 0.5, np.float32))
    knows = replace(plain, inflation=InflationFactor(even, k, Usual(np.log(0.4), 0.5)))
    batch, _ = made_up(tiny_bundle)
    forecast = members(tiny_bundle, agreeing_north=True)
    nothing = Adaptation.none(tuple(c.name for c in tiny_bundle.channels))
    large, usual = (replace(nothing, level=ErrorLevel(np.log(a))) for a in (0.9, 0.4))
    none = replace(plain, analysis_inflation=np.zeros(8, np.float32))
    before, unknown, once, twice = (
        Analyst(b, Settings(steps=4)).draw(TIME, batch, forecast, [1, 2], 0, adaptation=known)
        for b, known in ((none, nothing), (knows, nothing), (knows, usual), (knows, large))
    )
    np.testing.assert_array_equal(unknown, once)
    added = [((states - before) / plain.climatology.std).astype(np.float64) for states in (once, twice)]
    np.testing.assert_allclose(np.square(added[1]).mean(), 2.0 * np.square(added[0]).mean(), rtol=0.01)


def test_only_the_methods_that_say_so_take_the_error_by_place(tiny_bundle: Bundle) -> None:
    batch, _ = made_up(tiny_bundle)
    forecast = members(tiny_bundle, agreeing_north=True)
    for method, local in (("sda", True), ("oi", False), ("mmps", False)):
        drawn = [
            Analyst(b, Settings(method, 2)).draw(TIME, batch, forecast, [1], 0)
            for b in (tiny_bundle, made_local(tiny_bundle))
        ]
        assert np.array_equal(*drawn) != local, method
