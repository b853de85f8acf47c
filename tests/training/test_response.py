"""The denoiser's two parts, weighed degree by degree: known factors are found, and the flow keeps the energy."""

import math

import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.prior import DiffusionPrior, load_prior
from dacycle.cycler.assimilation.response import Response
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.frames import Frames
from dacycle.cycler.training.response import LEVELS, fit_response, regress, told
from dacycle.emulators.spectral import by_degree

DEGREES, CHANNELS, FRAMES = 12, 3, 400


def draw(seed: int) -> Tensor:
    """Coefficients (frames, channels, degrees^2) with a spectrum as steep as the atmosphere's."""
    degree = torch.arange(DEGREES)
    falling = torch.repeat_interleave((1.0 + degree) ** -1.5, 2 * degree + 1)
    return falling * torch.randn(FRAMES, CHANNELS, DEGREES**2, generator=torch.Generator().manual_seed(seed))


def per_degree(p: Tensor, q: Tensor) -> Tensor:
    return torch.stack([part.double().sum((0, -1)) for part in by_degree(p * q)], -1)


def test_known_factors_are_found() -> None:
    """Truth = 1.1 G + 0.6 R + something of its own: the regression says 0.1 and -0.4, in every degree and channel."""
    g, r, own = draw(0), draw(1) + 0.3 * draw(0), draw(2)
    left = 0.1 * g + 0.6 * r + 0.3 * own
    products = torch.stack([per_degree(p, q) for p, q in ((g, g), (g, r), (r, r), (left, g), (left, r))])
    a, b = regress(products, per_degree(left, left), FRAMES)
    assert a.shape == b.shape == (CHANNELS, DEGREES)
    torch.testing.assert_close(a, torch.full_like(a, 0.1), rtol=0, atol=0.03)
    torch.testing.assert_close(b, torch.full_like(b, -0.4), rtol=0, atol=0.03)


def test_a_network_that_says_nothing_is_no_trouble() -> None:
    g, left, nothing = draw(0), draw(1), 0 * draw(0)
    pairs = ((g, g), (g, nothing), (nothing, nothing), (left, g), (left, nothing))
    a, b = regress(torch.stack([per_degree(p, q) for p, q in pairs]), per_degree(left, left), FRAMES)
    assert a[:, 3:].abs().max() < 0.06  # 400 states with seven coefficients or more: sampling error 0.02
    torch.testing.assert_close(b, -torch.ones_like(b))


def test_between_levels_it_is_linear_in_the_logarithm() -> None:
    gaussian = torch.tensor([0.0, 0.2, 0.1])[:, None, None].expand(3, CHANNELS, DEGREES)
    response = Response(torch.tensor([0.1, 1.0, 10.0]), gaussian, -gaussian)
    a, b = response.at(torch.tensor([0.01, 0.1, math.sqrt(0.1), 1.0, math.sqrt(10.0), 10.0, 80.0]))
    torch.testing.assert_close(a[:, 0, 0], torch.tensor([0.0, 0.0, 0.1, 0.2, 0.15, 0.1, 0.1]))
    torch.testing.assert_close(b, -a)
    with pytest.raises(ValueError, match="at 2 levels"):
        Response(torch.tensor([0.1, 1.0]), gaussian, gaussian)


def prior_of(bundle: Bundle, exaggeration: float) -> DiffusionPrior:
    """The tiny bundle's prior with a network that is noise: its head answers at random."""
    prior = load_prior(bundle)
    torch.manual_seed(5)
    torch.nn.init.normal_(prior.network.head.conv.weight, std=exaggeration)
    return prior


def states_of(prior: DiffusionPrior, count: int, seed: int) -> Frames:
    _, x0 = prior.gaussian.sample(count, torch.Generator().manual_seed(seed))
    return Frames(x0, torch.zeros(count, 4))


def errors(prior: DiffusionPrior, states: Frames, level: float) -> tuple[float, float, float]:
    """Mean square errors of D and G in the resolved degrees, and <x D> over <x x0> there."""
    gaussian: GaussianPrior = prior.gaussian
    sigma = torch.full((len(states),), level)
    x = states.values + level * gaussian.noise(states.values, torch.Generator().manual_seed(9))
    with torch.no_grad():
        fields = prior(x, sigma, states.season), gaussian.denoise(x, sigma), states.values, x
    ours, theirs, truth, seen = (gaussian.analyse(field) for field in fields)
    square = [float((e - truth).square().mean()) for e in (ours, theirs)]
    along = [float((seen * e).mean()) for e in (ours, truth)]
    return square[0], square[1], along[0] / along[1]


@pytest.mark.parametrize("level", [0.5, 2.0])
def test_what_a_network_learned_by_heart_is_taken_out(tiny_bundle: Bundle, level: float) -> None:
    """The truth is Gaussian, so whatever the network says is wrong: the response has to silence it."""
    torch.set_num_threads(1)
    prior = prior_of(tiny_bundle, 0.2)
    states = states_of(prior, 64, 1)
    wrong, theirs, _ = errors(prior, states_of(prior, 32, 2), level)
    assert wrong > 1.2 * theirs
    prior.response = fit_response(prior, states)
    ours, theirs, along = errors(prior, states_of(prior, 32, 2), level)
    assert ours < 1.02 * theirs
    assert along == pytest.approx(1.0, abs=0.02)
    assert len(list(told(prior.response))) == len(LEVELS)


def test_without_a_response_the_sum_of_the_parts_is_the_denoiser(tiny_bundle: Bundle) -> None:
    prior = prior_of(tiny_bundle, 0.2)
    states, sigma = states_of(prior, 2, 3), torch.tensor([0.3, 3.0])
    gaussian, residual, coefficients = prior.parts(states.values, sigma, states.season)
    torch.testing.assert_close(prior(states.values, sigma, states.season), gaussian + residual)
    torch.testing.assert_close(prior.gaussian.analyse(gaussian), coefficients, rtol=1e-3, atol=1e-4)
    degrees = len(prior.gaussian.covariance)
    factor = torch.full((2, prior.gaussian.channels, degrees), 0.5)
    prior.response = Response(torch.tensor([0.1, 10.0]), factor, factor)
    found = prior.gaussian.analyse(prior(states.values, sigma, states.season))
    expected = 1.5 * prior.gaussian.analyse(gaussian + residual)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
