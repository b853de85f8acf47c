"""What innovations teach: variances of known parts, the climate's bias, and the map between two climates."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.adapt import adapt
from dacycle.cycler.assimilation.adaptation import BOUNDS, FACTORS, ZONAL_DEGREES, Adaptation, zonal_basis
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.bias_patterns import bias_operator, felt, felt_with_forecast, showing, under
from dacycle.cycler.assimilation.bias_term import BiasTerm
from dacycle.cycler.assimilation.climate_map import into_bundle, into_world
from dacycle.cycler.assimilation.fields import coarsen, observe, regrid
from dacycle.cycler.assimilation.gain import Conditioner
from dacycle.cycler.assimilation.inflation_factor import InflationFactor, Usual
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.pooling import pooled
from dacycle.cycler.assimilation.posterior import gaussian_posterior
from dacycle.cycler.assimilation.variance_components import Estimate, estimate
from dacycle.cycler.bundle import Bundle
from dacycle.obs.batch import ObservationBatch
from tests.assimilation.test_closed_form import CHANNELS, TIME, dense_posterior, make_observations, make_prior
from tests.obs.batches import at_places

NAMES = ("t850", "u850", "z850")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_variance_components_are_found_from_many_innovations() -> None:
    """Two parts of known shape: an exponential covariance on a line, and white noise; 60 innovations of 80 values."""
    place = torch.arange(80.0, dtype=torch.float64)
    smooth = torch.exp(-(place[:, None] - place[None]).abs() / 8)
    parts, true = [smooth, torch.eye(80, dtype=torch.float64)], np.array([2.0, 0.25])
    root = torch.linalg.cholesky(true[0] * parts[0] + true[1] * parts[1])
    generator = torch.Generator().manual_seed(1)
    known = Estimate(np.zeros(2), np.eye(2) / 4)
    for _ in range(60):
        d = root @ torch.randn(80, generator=generator, dtype=torch.float64)
        found = estimate(d, parts, None, known, BOUNDS[:2] * 3)
        known = Estimate(found.theta, known.information + found.information)
    sd = np.sqrt(np.diag(np.linalg.inv(known.information)))
    assert (sd < 0.15).all()
    assert (np.abs(known.theta - np.log(true)) < 3 * sd).all(), np.exp(known.theta)


def test_a_variance_never_leaves_its_bounds() -> None:
    d = torch.full((40,), 1000.0)
    found = estimate(d, [torch.eye(40)], None, Estimate(np.zeros(1), np.eye(1)), np.array([[-1.0, 2.0]]))
    assert found.theta == pytest.approx([2.0])


def test_the_zonal_patterns_make_a_field_of_unit_variance() -> None:
    sine, weights = np.polynomial.legendre.leggauss(32)
    basis = zonal_basis(np.rad2deg(np.arcsin(sine)))
    assert (basis**2).sum(0) @ weights / 2 == pytest.approx(1.0)
    assert np.allclose((basis * weights) @ basis.T / 2, np.diag((basis**2 * weights).sum(1) / 2), atol=1e-12)


def biased(scale: float = 1.0) -> Adaptation:
    known = replace(Adaptation.ignorant(NAMES), bias_covariance=np.tile(0.4 * np.eye(ZONAL_DEGREES), (3, 1, 1)))
    factors = known.factors.copy()
    factors[:, 0] = 2 * np.log(scale)
    return replace(known, factors=factors)


@pytest.mark.parametrize("forecast", [False, True])
def test_state_and_bias_together_are_the_exact_joint_posterior(forecast: bool) -> None:
    """Against dense algebra over state and bias stacked: a bias is a state with a covariance of its own."""
    prior = make_prior()
    observations = make_observations(prior, forecast)
    system = Conditioner(prior, prior.covariance, prior.rest, observations)
    term = BiasTerm(system, biased(), felt(CHANNELS))
    n, q = len(observations.points), CHANNELS * ZONAL_DEGREES
    g = torch.zeros(n, q, dtype=torch.float64)
    values = bias_operator(observations.points, prior, biased()).double()
    for i, c in enumerate(observations.points.channel.tolist()):
        g[i, c * ZONAL_DEGREES : (c + 1) * ZONAL_DEGREES] = values[:, i]
    # The soundings whiten (R + G S G') instead of R: the state's posterior with the bias integrated out ...
    s = 0.4 * torch.eye(q, dtype=torch.float64)
    without = dense_posterior(prior, replace(observations, innovation=observations.innovation.double()))
    h = (
        observations.points.apply(prior.synthesise(torch.eye(without.mean.numel()).reshape(-1, CHANNELS, 100)))
        .double()
        .T
    )
    m = h @ prior_given(prior, observations, forecast) @ h.T + torch.eye(n)
    residual = observations.innovation.double() - h @ mean_given(prior, observations, forecast)
    gain = s @ g.T @ torch.linalg.inv(g @ s @ g.T + m)
    mean, covariance = term.posterior
    spread = (s - gain @ g @ s).diagonal().sqrt()
    assert ((mean - gain @ residual).abs() / spread).max() < 0.02
    assert (covariance.diagonal().sqrt() / spread - 1).abs().max() < 0.01
    # ... and drawn members have that mean and spread in the bias, and follow it in the state.
    noises = [MemberNoise(0, TIME, member) for member in range(1, 801)]
    beta = term.draw(noises)
    x = gaussian_posterior(system, noises, term.innovation(beta))
    assert (beta.double().mean(0) - mean).abs().max() < 1e-4  # antithetic
    assert (beta.double().std(0) / spread - 1).abs().max() < 0.1
    total = observations.points.apply(x).double() + beta.double() @ g.T
    wide = h @ prior_given(prior, observations, forecast) @ h.T + g @ s @ g.T
    exact = h @ mean_given(prior, observations, forecast) + wide @ torch.linalg.solve(wide + torch.eye(n), residual)
    left = (wide - wide @ torch.linalg.solve(wide + torch.eye(n, dtype=torch.float64), wide)).diagonal().sqrt()
    assert ((total.mean(0) - exact).abs() / left).max() < 0.05
    assert (total.std(0) / left).mean() == pytest.approx(1.0, abs=0.03)


def test_beside_a_forecast_of_the_world_a_bias_shows_by_the_forecasts_error_alone(tiny_bundle: Bundle) -> None:
    """E[x | f, beta] for x ~ N(beta, C) and f = x + e, by the joint covariance of x and f: b f + (1 - b) beta."""
    prior = Analyst(tiny_bundle, Settings("oi")).prior.climate
    share = felt_with_forecast(tiny_bundle, prior)
    assert share.shape == (len(tiny_bundle.channels), ZONAL_DEGREES)
    f, beta = 0.7, 1.3
    for c, degree in [(0, 0), (4, 3), (16, 6)]:
        variance, left = float(prior.covariance[degree, c, c]), float(tiny_bundle.anomaly_error[degree, c, c])
        error = left * variance / (variance - left)  # of e: what leaves that much of x unknown
        expected = beta + variance / (variance + error) * (f - beta)
        known = (1 - left / variance) * f  # what is expected of x by those who do not know of beta
        assert known + share[c, degree] * beta == pytest.approx(expected, rel=1e-5)


def test_patterns_that_hardly_show_are_not_solved_for() -> None:
    prior = make_prior()
    observations = make_observations(prior, True)
    system = Conditioner(prior, prior.covariance, prior.rest, observations)
    share = felt(CHANNELS)
    share[1], share[0, 3:] = 0.01, 0.02  # 0.01 and 0.02 of 0.6 standard deviations
    few = BiasTerm(system, biased(), showing(share, biased()))
    noises = [MemberNoise(0, TIME, member) for member in range(1, 3)]
    beta = few.draw(noises)
    assert beta.shape == (2, 3 + (CHANNELS - 2) * ZONAL_DEGREES)
    field = few.field(beta)
    assert field.shape[:2] == (2, CHANNELS)
    assert not field[:, 1].any()
    assert field[:, 0].any()
    # What is left out would move an observation by less than a hundredth of its error's standard deviation, or so.
    every = BiasTerm(system, biased(), share)
    both = [term.innovation(term.posterior[0][None].float()) for term in (few, every)]
    assert (both[0] - both[1]).abs().max() < 0.05


def test_a_bias_is_found_beside_forecasts(tiny_bundle: Bundle) -> None:
    """Forecasts of the biased world as it is: departures from them tell nothing of the bias, the climatology does."""
    names = tuple(c.name for c in tiny_bundle.channels)
    known, truth = Adaptation.ignorant(names), np.zeros((len(names), ZONAL_DEGREES))
    truth[:, 2] = 1.5
    found = learn_in_a_biased_world(tiny_bundle, truth)
    upper = [k for k, c in enumerate(tiny_bundle.channels) if c.level_hpa is not None and c.variable != "q"]
    assert np.median(found.bias[upper, 2]) == pytest.approx(1.5, abs=0.4)
    assert np.abs(np.median(found.bias[upper], 0)[[1, 3, 4]]).max() < 0.4
    assert known.bias.max() == 0


def learn_in_a_biased_world(bundle: Bundle, beta: np.ndarray, cycles: int = 30) -> Adaptation:
    """What soundings every 12 hours tell of a world whose zonal mean is off by ``beta``; its weather is new each time,
    its forecasts right but for a part of the bundle's forecast error."""
    analyst = Analyst(bundle, Settings("oi"))
    prior, names = analyst.prior.gaussian, tuple(c.name for c in bundle.channels)
    upper = [c.name for c in bundle.channels if c.level_hpa is not None and c.variable != "q"]
    rng, generator = np.random.default_rng(5), torch.Generator().manual_seed(5)
    shift = bundle.climatology.std * (beta @ zonal_basis(bundle.grid.lat))[..., None].astype(np.float32)
    root = torch.linalg.cholesky(torch.as_tensor(bundle.forecast_error))
    known = Adaptation.ignorant(names)
    for k in range(cycles):
        time = datetime(2001, 3, 1 + k // 2, 12 * (k % 2), tzinfo=UTC)
        a = prior.colour(torch.randn(1, len(names), prior.harmonics.lmax**2, generator=generator))
        truth = _fields(bundle, prior, a, time)[0] + shift
        wrong = torch.zeros_like(a)
        wrong[..., : len(root) ** 2] = _coloured(prior, root, generator)
        forecast = coarsen(bundle, _fields(bundle, prior, a + wrong, time) + shift)
        batch = observed(bundle, truth, time, upper, rng, 150, {})
        known = adapt(bundle, analyst.prior, known.later(12.0), batch, forecast, 12.0)[1]
    return known


def test_a_prior_variance_that_is_found_later_changes_what_the_same_data_say() -> None:
    rng = np.random.default_rng(3)
    data, error = rng.standard_normal((20, ZONAL_DEGREES)), 0.3 * np.eye(20)
    seen = rng.standard_normal(20)

    def posterior(variance: float) -> tuple[np.ndarray, np.ndarray]:
        spread = np.linalg.inv(np.eye(ZONAL_DEGREES) / variance + data.T @ np.linalg.inv(error) @ data)
        return spread @ data.T @ np.linalg.inv(error) @ seen, spread

    for after in (0.01, 0.5, 8.0):
        for found, exact in zip(under(*posterior(0.05), 0.05, after), posterior(after), strict=True):
            np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-9)
    # A spread that no data explain: wider than the prior that it is said to have had.
    mean, spread = under(np.ones(ZONAL_DEGREES), 0.05 * np.eye(ZONAL_DEGREES), 0.002, 0.004)
    assert np.linalg.eigvalsh(spread).min() > 0
    np.testing.assert_allclose(spread, 0.004 * np.eye(ZONAL_DEGREES))
    assert np.abs(mean).max() <= 1.0


def test_estimates_are_pulled_together_as_far_as_chance_explains_them() -> None:
    rng = np.random.default_rng(1)
    variance = np.full(40, 0.04)
    same = 0.5 + 0.2 * rng.standard_normal(40)
    assert np.abs(pooled(same, variance) - 0.5).max() < 0.12
    own = 0.5 + rng.standard_normal(40)
    apart = own + 0.2 * rng.standard_normal(40)
    found = pooled(apart, variance)
    assert np.mean((found - own) ** 2) < np.mean((apart - own) ** 2)
    assert np.abs(found - apart).max() < 0.2
    unknown = pooled(np.array([0.3, 0.3, 0.3, 0.0]), np.array([0.01, 0.01, 0.01, 1.0]))
    assert unknown[3] == pytest.approx(0.3, abs=0.01)  # a channel nobody has seen is taken for as the others are
    assert pooled(np.array([0.7]), np.array([0.1])) == pytest.approx(0.7)


def prior_given(prior, observations, forecast):  # type: ignore[no-untyped-def]
    """Covariance of the coefficients before the soundings: of the prior, or given the forecast."""
    return _before(prior, observations, forecast).covariance


def mean_given(prior, observations, forecast):  # type: ignore[no-untyped-def]
    """Their mean."""
    return _before(prior, observations, forecast).mean


def _before(prior, observations, forecast):  # type: ignore[no-untyped-def]
    points = observations.points
    deaf = replace(observations, innovation=torch.zeros(len(points)), points=_Deaf(points))
    return dense_posterior(prior, deaf if forecast else replace(deaf, forecast=None))


class _Deaf:
    """Soundings that say nothing."""

    def __init__(self, points) -> None:  # type: ignore[no-untyped-def]
        self._n = len(points)

    def __len__(self) -> int:
        return self._n

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), self._n)


def test_what_was_learnt_survives_as_text_bit_by_bit() -> None:
    known = Adaptation.ignorant(NAMES)
    known = replace(known, bias=np.random.default_rng(0).normal(size=known.bias.shape) / 3)
    again = Adaptation.from_json(known.to_json())
    assert again.digest == known.digest
    assert np.array_equal(again.bias, known.bias)


def test_what_was_learnt_fades_towards_what_was_known_at_first() -> None:
    first = Adaptation.ignorant(NAMES)
    known = replace(
        first, information=first.information * 50, bias=first.bias + 1.0, bias_covariance=0 * first.bias_covariance
    )
    later = known.later(24 * 365.0 * 5)
    assert np.allclose(later.information, first.information)
    assert np.allclose(later.bias, 0.0)
    assert np.allclose(later.bias_covariance, first.bias_covariance)


def test_the_map_between_the_climates_is_undone_by_its_inverse(tiny_bundle: Bundle) -> None:
    names = tuple(c.name for c in tiny_bundle.channels)
    known = Adaptation.ignorant(names)
    known = replace(known, bias=known.bias + 0.2, factors=known.factors + np.array([0.5, 0, 0, 0]))
    time = datetime(2001, 3, 1, tzinfo=UTC)
    world = known.world(tiny_bundle)
    # A state one standard deviation above the world's mean is one above the bundle's.
    high = coarsen(tiny_bundle, (world.climatology.mean(time) + world.climatology.std)[None])
    own = coarsen(tiny_bundle, (tiny_bundle.climatology.mean(time) + tiny_bundle.climatology.std)[None])
    assert np.allclose(into_bundle(tiny_bundle, known, high.copy(), time), own, rtol=2e-3)
    assert np.allclose(into_world(tiny_bundle, known, own.copy(), time), high, rtol=2e-3)
    plain = Adaptation.none(names)
    assert into_bundle(tiny_bundle, plain, high, time) is high


@pytest.mark.parametrize("wrong", [0.25, 4.0])
@pytest.mark.parametrize("variable", ["t", "u", "v", "z"])
def test_a_wrong_observation_error_is_found_within_ten_days(tiny_bundle: Bundle, wrong: float, variable: str) -> None:
    """Twenty 12-hourly innovations of a linear-Gaussian world; the table's variance of one variable is wrong."""
    found, factors = learn_from_innovations(tiny_bundle, {variable: wrong}, 1.0)
    for name, factor in found.items():
        expected = 1 / wrong if name.startswith(variable) else 1.0
        assert factor / expected == pytest.approx(1.0, abs=0.3), (name, factor)
    assert np.median(factors.factor("forecast")) == pytest.approx(1.0, abs=0.3)


def test_a_wrong_observation_error_and_a_wrong_emulator_error_are_told_apart(tiny_bundle: Bundle) -> None:
    found, factors = learn_from_innovations(tiny_bundle, {"t": 4.0}, 2.0)
    assert np.median([v for k, v in found.items() if k.startswith("t")]) == pytest.approx(0.25, rel=0.35)
    assert np.median(factors.factor("forecast")) == pytest.approx(2.0, rel=0.35)


def test_what_a_forecast_does_not_reach_is_as_large_as_the_bundle_says(tiny_bundle: Bundle) -> None:
    """In a world without small scales r is found by a bundle that knows of it; another one takes errors for them."""
    n = len(tiny_bundle.channels)
    everywhere = replace(
        tiny_bundle,
        local_slope=np.stack([tiny_bundle.forecast_slope] * 4),
        local_error=np.stack([tiny_bundle.forecast_error] * 4),
    )
    told = replace(everywhere, small_scales=np.full((n, tiny_bundle.grid.shape[0]), 0.1, np.float32))
    right, wrong = (
        learn_from_innovations(bundle, {}, 1.0, cycles=8, small=0.1, members=4)[0] for bundle in (told, everywhere)
    )
    assert np.mean(list(right.values())) == pytest.approx(1.0, abs=0.1)
    assert np.mean(list(wrong.values())) < np.mean(list(right.values())) - 0.1


def test_soundings_of_a_calm_season_do_not_make_the_world_a_calm_one(tiny_bundle: Bundle) -> None:
    """Innovations from the north in its calm season; the world's variance over the year is the bundle's."""
    sine = np.sin(np.deg2rad(tiny_bundle.coarse.lat)).astype(np.float32)
    north = np.broadcast_to(sine[:, None], tiny_bundle.coarse.shape)
    first_harmonic = np.stack([-0.7 * north, 0 * north, 0 * north, 0 * north])
    season = np.repeat(first_harmonic[:, None], len(tiny_bundle.channels), 1)
    told = replace(tiny_bundle, seasonal_variance=season)
    right, wrong = climate_from_innovations(told, told), climate_from_innovations(told, tiny_bundle)
    assert right == pytest.approx(1.0, abs=0.12)
    assert wrong == pytest.approx(0.5, abs=0.12)


def test_the_first_hours_analysis_stands_on_what_its_soundings_say_of_the_climate(tiny_bundle: Bundle) -> None:
    """Channels that truly differ keep what they say; and the hour itself, not the next one only, has it in force."""
    names, upper = tuple(c.name for c in tiny_bundle.channels), ["t500", "z500", "u500", "v500"]
    analyst, rng = Analyst(tiny_bundle, Settings("oi")), np.random.default_rng(2)
    time = datetime(2001, 1, 1, tzinfo=UTC)
    x = analyst.prior.climate.sample(1, torch.Generator().manual_seed(4))[1][0].numpy()
    x[names.index("z500")] *= 3
    truth = tiny_bundle.climatology.mean(time) + tiny_bundle.climatology.std * x
    batch = observed(tiny_bundle, truth.astype(np.float32), time, upper, rng, 150, {})
    now, after = adapt(tiny_bundle, analyst.prior, Adaptation.ignorant(names), batch, None, 0.0)
    alpha = dict(zip(names, now.factor("climate").tolist(), strict=True))
    assert alpha["z500"] > 3 * alpha["t500"]
    assert alpha["z500"] == pytest.approx(9.0, rel=0.4)
    np.testing.assert_array_equal(now.factor("climate"), after.factor("climate"))


def test_the_level_of_forecast_errors_begins_at_its_usual_value(tiny_bundle: Bundle) -> None:
    """Errors of a sixth of the bundle's variance, as usual: the first forecast finds them so, which a step from the
    bundle's own would not reach."""
    n = len(tiny_bundle.channels)
    even, none = np.ones((4, n), np.float32), np.zeros(n, np.float32)
    knows = replace(tiny_bundle, inflation=InflationFactor(even, none, Usual(np.log(1 / 6), 0.5)))
    levels = [learn_from_innovations(world, {}, 1 / 6, cycles=1)[1].level for world in (knows, tiny_bundle)]
    assert levels[0] is not None
    assert levels[1] is not None
    assert levels[0].log == pytest.approx(np.log(1 / 6), abs=0.25)
    assert levels[1].log > np.log(1 / 6) + 0.5


def climate_from_innovations(world: Bundle, bundle: Bundle, cycles: int = 16) -> float:
    """alpha^2 (median over upper-air channels) that ``bundle`` finds from soundings north of 30 degrees in January,
    where anomalies have the size that ``world`` gives to the date."""
    analyst = Analyst(bundle, Settings("oi"))
    prior, names = analyst.prior.gaussian, tuple(c.name for c in bundle.channels)
    upper = [c.name for c in bundle.channels if c.level_hpa is not None and c.variable != "q"]
    rng, generator = np.random.default_rng(7), torch.Generator().manual_seed(7)
    known = Adaptation.ignorant(names)
    for k in range(cycles):
        time = datetime(2001, 1, 1 + k // 2, 12 * (k % 2), tzinfo=UTC)
        a = prior.colour(torch.randn(1, len(names), prior.harmonics.lmax**2, generator=generator))
        white = rng.standard_normal(world.climatology.std.shape) * prior.rest.sqrt().numpy()[:, None, None]
        size = regrid(torch.as_tensor(world.variance(time)), world.coarse, world.grid).sqrt().numpy()
        anomaly = (prior.synthesise(a)[0].numpy() + white) * size
        truth = (world.climatology.mean(time) + world.climatology.std * anomaly).astype(np.float32)
        batch = observed(bundle, truth, time, upper, rng, 120, {}, south=30.0)
        # A new sample each time, without a forecast: what is known goes on, its certainty is added up.
        known = adapt(bundle, analyst.prior, known, batch, None, 0.0)[1]
    alpha = dict(zip(names, known.factor("climate"), strict=True))
    return float(np.median([alpha[name] for name in upper]))


def learn_from_innovations(
    bundle: Bundle,
    wrong: dict[str, float],
    emulator: float,
    cycles: int = 20,
    sites: int = 180,
    small: float = 1.0,
    members: int = 1,
) -> tuple[dict[str, float], Adaptation]:
    """The learnt factor of R per upper-air channel. Truth and forecasts are drawn from the bundle's own statistics,
    with the emulator's error variance times ``emulator``; ``wrong``: variable -> the table's variance over the true;
    ``small``: factor on what the forecast does not reach; its ``members`` differ alike everywhere."""
    analyst = Analyst(bundle, Settings("oi"))
    prior, names = analyst.prior.gaussian, tuple(c.name for c in bundle.channels)
    upper = [c.name for c in bundle.channels if c.level_hpa is not None and c.variable != "q"]
    rng = np.random.default_rng(3)
    known = Adaptation.ignorant(names)
    known = replace(
        known,
        factors=known.factors * np.array([1, 0, 1, 1]) + np.array([0, np.log(1e-4), 0, 0]),
        bias_covariance=known.bias_covariance * 1e-3,
    )
    degrees = len(bundle.forecast_error)
    count = degrees**2
    error = torch.as_tensor(bundle.forecast_error) * emulator
    generator = torch.Generator().manual_seed(5)
    for k in range(cycles):
        time = datetime(2001, 3, 1 + k // 2, 12 * (k % 2), tzinfo=UTC)
        # x = f + e with e ~ N(0, P) below the emulator's degrees, and the climate itself beyond them.
        a = small * prior.colour(torch.randn(1, len(names), prior.harmonics.lmax**2, generator=generator))
        left = torch.linalg.cholesky(torch.as_tensor(prior.covariance[:degrees] - error))
        f = torch.zeros_like(a)
        f[..., :count] = _coloured(prior, left, generator)
        a[..., :count] = f[..., :count] + _coloured(prior, torch.linalg.cholesky(error), generator)
        truth = _fields(bundle, prior, a, time)[0] + bundle.climatology.std * prior.rest.sqrt().numpy()[
            :, None, None
        ] * rng.normal(size=bundle.climatology.std.shape).astype(np.float32)
        forecast = coarsen(bundle, _fields(bundle, prior, f, time))
        drawn = rng.standard_normal((members // 2, *forecast.shape[1:]), dtype=np.float32)
        departures = drawn * bundle.climatology.std.mean((1, 2))[:, None, None]
        forecast = np.concatenate([forecast + departures, forecast - departures]) if members > 1 else forecast
        batch = observed(bundle, truth, time, upper, rng, sites, wrong)
        known = adapt(bundle, analyst.prior, known.later(12.0), batch, forecast, 12.0)[1]
    r = dict(zip(names, known.factor("observation"), strict=True))
    return {name: float(r[name]) for name in upper}, known


def observed(
    bundle: Bundle,
    truth: np.ndarray,
    time: datetime,
    channels: list[str],
    rng: np.random.Generator,
    sites: int,
    wrong: dict[str, float],
    south: float = -90.0,
) -> ObservationBatch:
    """Values of ``truth`` at random places north of ``south`` with the table's errors; the batch claims ``wrong``
    times that variance."""
    lat, lon = np.rad2deg(np.arcsin(rng.uniform(np.sin(np.deg2rad(south)), 1, sites))), rng.uniform(0, 360, sites)
    exact = at_places(time, channels, lat, lon)
    values = observe(bundle, truth[None], exact)[0] + exact.sigma * rng.standard_normal(len(exact))
    claimed = np.array([np.sqrt(wrong.get(name[0], 1.0)) for name in exact.channel.tolist()])
    return replace(exact, value=values, sigma=exact.sigma * claimed)


def _coloured(prior, root, generator):  # type: ignore[no-untyped-def]
    count = len(root) ** 2
    return prior.per_degree(root, torch.randn(1, prior.channels, count, generator=generator))


def _fields(bundle, prior, a, time):  # type: ignore[no-untyped-def]
    return prior.synthesise(a).numpy() * bundle.climatology.std + bundle.climatology.mean(time)


def test_factors_are_named() -> None:
    assert Adaptation.none(NAMES).factor(FACTORS[-1]).tolist() == [1.0, 1.0, 1.0]
