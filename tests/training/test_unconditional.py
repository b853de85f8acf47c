"""Samples with nothing observed: where the prior is Gaussian they are draws of it, whatever the flow began with."""

from datetime import UTC, datetime

import numpy as np
import torch

from dacycle.cycler.assimilation.prior import load_prior
from dacycle.cycler.assimilation.response import Response
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.unconditional import unconditional

TIME = datetime(2001, 8, 25, tzinfo=UTC)


def test_samples_of_a_gaussian_prior_have_its_variance(tiny_bundle: Bundle) -> None:
    torch.set_num_threads(1)
    prior, climate = load_prior(tiny_bundle), tiny_bundle.climatology
    drawn = np.stack([unconditional(tiny_bundle, prior, TIME, 12, seed) for seed in range(24)])
    anomalies = torch.tensor((drawn - climate.mean(TIME)) / climate.std)
    wind = [k for k, c in enumerate(tiny_bundle.channels) if c.variable in ("u", "v", "t")]  # never cut off at zero
    found = (anomalies.square() * prior.gaussian.weights).mean((0, 2, 3))[wind]
    torch.testing.assert_close(found, prior.gaussian.variance[wind], rtol=0.25, atol=0.0)
    again = unconditional(tiny_bundle, prior, TIME, 12, 3)
    np.testing.assert_array_equal(again, drawn[3])
    assert (drawn[:, [c.variable == "q" for c in tiny_bundle.channels]] >= 0).all()


def test_the_response_says_how_high_a_sample_may_begin(tiny_bundle: Bundle) -> None:
    """A response that halves everything at its highest level alone: samples begun there differ."""
    torch.set_num_threads(1)
    prior = load_prior(tiny_bundle)
    plain = unconditional(tiny_bundle, prior, TIME, 4, 0)
    shape = 3, prior.gaussian.channels, len(prior.gaussian.covariance)
    half = torch.zeros(shape)
    half[2] = -0.5
    prior.response = Response(torch.tensor([0.03, 1.0, 30.0]), half, half)
    assert np.abs(unconditional(tiny_bundle, prior, TIME, 4, 0) - plain).max() > 0.1
