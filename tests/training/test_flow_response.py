"""The flow from noise to samples keeps the energy, whatever the denoiser takes from it."""

import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.prior import DiffusionPrior, load_prior
from dacycle.cycler.assimilation.response import Response
from dacycle.cycler.assimilation.sampler import sample
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.flow_response import fit_flow
from dacycle.cycler.training.response import LEVELS
from dacycle.emulators.spectral import by_degree

WELL_HEARD = 5  # degrees from here on have enough coefficients for 64 samples


def energy(prior: DiffusionPrior, seed: int) -> Tensor:
    """Of 64 samples, over the prior's own (channels, degrees)."""
    generator, gaussian = torch.Generator().manual_seed(seed), prior.gaussian
    x = gaussian.sample(64, generator)[1]
    season = torch.zeros(64, 4)
    with torch.no_grad():
        x = x + LEVELS[-1] * gaussian.noise(x, generator)
        x = sample(lambda state, sigma: prior(state, sigma, season), x, list(LEVELS[::-1]))
    parts = by_degree(gaussian.analyse(x).square().mean(0))
    found = torch.stack([part.mean(-1) for part in parts], -1)
    return found / gaussian.covariance.diagonal(dim1=1, dim2=2).T


def test_what_a_damping_denoiser_takes_from_samples_is_given_back(tiny_bundle: Bundle) -> None:
    """Of a Gaussian world the denoiser is known: one that says 0.92 of it at some levels needs 1 / 0.92 there."""
    torch.set_num_threads(1)
    prior = load_prior(tiny_bundle)
    shape = len(LEVELS), prior.gaussian.channels, len(prior.gaussian.covariance)
    damping = torch.zeros(shape)
    damping[2:8] = -0.08
    prior.response = Response(torch.tensor(LEVELS), damping, torch.zeros(shape))
    before = energy(prior, 1)[:, WELL_HEARD:].mean()
    given, prior.response = prior.response, fit_flow(prior, torch.zeros(64, 4))
    assert given.gaussian.equal(damping)  # what was given is left alone
    after = energy(prior, 2)[:, WELL_HEARD:].mean()
    assert before < 0.85
    assert after == pytest.approx(1.0, abs=0.06)
    seen = prior.gaussian.covariance.diagonal(dim1=1, dim2=2).T[:, WELL_HEARD:] > torch.tensor(LEVELS)[5] ** 2
    found = prior.response.gaussian[5, :, WELL_HEARD:][seen]
    assert len(found) > 10
    assert found.mean().item() == pytest.approx(0.0, abs=0.02)


def test_a_prior_without_a_response_is_told(tiny_bundle: Bundle) -> None:
    prior = load_prior(tiny_bundle)
    prior.response = None
    with pytest.raises(ValueError, match="expected a prior with a response"):
        fit_flow(prior, torch.zeros(2, 4))
