"""The response where a forecast is known: what observations say already is not heard twice."""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gain import Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.points import PointOperator
from dacycle.cycler.assimilation.prior import DiffusionPrior, load_prior
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.informed_response import LEVELS, informed_moments, informed_response

SHARE = 0.3  # of the climate's variance that the forecast leaves unknown
SEASON = torch.zeros(1, 4)


def forecast_of(prior: GaussianPrior, a: Tensor, generator: torch.Generator) -> Observations:
    """A calibrated forecast of the state with coefficients ``a`` (1, channels, L*L): E[x | f] = f, error SHARE C."""
    identity = torch.eye(prior.channels).expand(len(prior.covariance), -1, -1)
    drawn = prior.colour(torch.randn(a.shape, generator=generator)) * (SHARE * (1 - SHARE)) ** 0.5
    field = prior.synthesise((1 - SHARE) * a + drawn)[0]
    nowhere, nothing = torch.zeros(0, 4, dtype=torch.long), torch.zeros(0, 4)
    points = PointOperator(prior, torch.zeros(0, dtype=torch.long), nowhere, nothing, nothing)
    return Observations(points, torch.zeros(0), ForecastTerm(prior, identity, SHARE * prior.covariance, field))


def found_with(prior: DiffusionPrior, count: int = 60) -> list[Tensor]:
    generator, moments = torch.Generator().manual_seed(4), []
    for seed in range(count):
        a, x0 = prior.gaussian.sample(1, generator)
        moments.append(informed_moments(prior, x0, SEASON, forecast_of(prior.gaussian, a, generator), seed))
    return moments


def test_a_network_that_errs_is_silenced_and_the_exact_posterior_left_alone(tiny_bundle: Bundle) -> None:
    torch.set_num_threads(1)
    prior = load_prior(tiny_bundle)
    torch.manual_seed(5)
    torch.nn.init.normal_(prior.network.head.conv.weight, std=0.2)
    moments = found_with(prior)
    response = informed_response(moments)
    assert response.levels.tolist() == torch.tensor(LEVELS).tolist()
    # Below level 1 nothing but rounding is left of degrees that the noise does not hide.
    assert (1 + response.network[4:, :, 2:]).abs().mean() < 0.05
    assert response.gaussian[4:, :, 2:].abs().mean() < 0.05


def test_what_the_forecast_says_is_not_heard_twice(tiny_bundle: Bundle) -> None:
    """A network that knows of the truth what another forecast of the same error says is worth believing. One that knows
    what the forecast at hand says adds nothing to it."""
    torch.set_num_threads(1)
    prior = load_prior(tiny_bundle)
    prior.__class__ = Knowing
    assert isinstance(prior, Knowing)
    gaussian, counts = prior.gaussian, {}
    for same in (True, False):
        generator, moments = torch.Generator().manual_seed(4), []
        for seed in range(40):
            a, x0 = gaussian.sample(1, generator)
            seen, other = (forecast_of(gaussian, a, generator) for _ in range(2))
            prior.known = seen if same else other
            moments.append(informed_moments(prior, x0, SEASON, seen, seed))
        counts[same] = 1 + informed_response(moments).network[5, :, 1:6].mean()
    assert abs(float(counts[True])) < 0.1
    assert float(counts[False]) > 0.4


class Knowing(DiffusionPrior):
    """R is what ``known`` moves the Gaussian's mean by."""

    known: Observations

    def parts(self, x: Tensor, sigma: Tensor, season: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gaussian = self.gaussian
        mean = gaussian.denoise(x, sigma)
        a, term = gaussian.analyse(mean), self.known.forecast
        assert term is not None
        covariance = gaussian.posterior_covariance(sigma[0])
        cross = covariance @ term.transform.transpose(-1, -2)
        degree = torch.arange(len(covariance))
        variance = term.variance[:, degree**2].T
        gain = cross @ torch.linalg.inv(term.transform @ cross + torch.diag_embed(variance))
        moved = gaussian.per_degree(gain, term.values - term.apply(a))
        return mean, gaussian.synthesise(moved), a
