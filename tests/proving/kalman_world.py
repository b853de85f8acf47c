"""A linear system with a stationary Gaussian prior, cycled through the assimilation and the exact Kalman filter.

    x' = M x + q,  q ~ N(0, Q),  C = M C M' + Q;   y = x_seen + e

The members' forecasts have model noise, as a perfect ensemble's. How an analysis is conditioned on them:

    mean      all members observe the ensemble's mean, with p(f | x) of a calibrated forecast (the product's way)
    own       each member observes its own forecast with the same statistics (counts the spread twice)

``sampled``: the forecast's error covariance is that of the ensemble, not the filter's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import torch
from torch import Tensor

from dacycle.cycler.assimilation.analysis import Settings
from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.guidance import guidance
from dacycle.cycler.assimilation.methods import METHODS
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.posterior import gaussian_posterior
from dacycle.cycler.assimilation.sampler import sample
from tests.proving.single_mode import as_fields, as_variables, observe, single_mode_prior

__all__ = ["Agreement", "LinearWorld", "cycle", "make_linear_world"]

START = datetime(2001, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LinearWorld:
    """``m``, ``q``, ``c`` (d, d) double; the variables ``seen`` (n,) with errors of standard deviation ``error``."""

    m: Tensor
    q: Tensor
    c: Tensor
    seen: Tensor
    error: float


def make_linear_world(d: int = 12, memory: float = 0.9, error: float = 0.5) -> LinearWorld:
    """A slow rotation with couplings, unit-order variances, every other variable observed."""
    generator = torch.Generator().manual_seed(3)
    skew = torch.randn(d, d, generator=generator, dtype=torch.float64)
    m = memory * torch.linalg.matrix_exp(0.15 * (skew - skew.T))
    root = 0.3 * torch.randn(d, d, generator=generator, dtype=torch.float64) + 0.2 * torch.eye(d)
    q = root @ root.T
    c = q
    for _ in range(400):
        c = m @ c @ m.T + q
    return LinearWorld(m, q, (c + c.T) / 2, torch.arange(0, d, 2), error)


@dataclass(frozen=True)
class Agreement:
    """With the Kalman filter, over components and cycles: rms of (mean - its mean) in its standard deviations, and
    spread over its standard deviation: the rms, and the smallest and largest of any component over the cycles."""

    mean: float
    spread: float
    smallest: float
    largest: float


def cycle(
    world: LinearWorld,
    settings: Settings,
    cycles: int = 50,
    members: int = 4000,
    sampled: bool = False,
    own: bool = False,
) -> Agreement:
    """Cycle ``members`` with the method of ``settings`` from draws of the prior."""
    generator = torch.Generator().manual_seed(11)
    d = len(world.c)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    root_c, root_q = torch.linalg.cholesky(world.c), torch.linalg.cholesky(world.q)
    prior = single_mode_prior(world.c.float())
    points = observe(prior, world.seen, world.error)
    h, r = torch.eye(d, dtype=torch.float64)[world.seen], world.error**2 * torch.eye(len(world.seen))
    truth, mean, p = root_c @ normal(d), torch.zeros(d, dtype=torch.float64), world.c
    ensemble: Tensor | None = None
    differences, ratios = [], []
    for number in range(cycles):
        if number > 0:
            truth, mean = world.m @ truth + root_q @ normal(d), world.m @ mean
            p = world.m @ p @ world.m.T + world.q
        y = truth[world.seen] + world.error * normal(len(world.seen))
        terms: list[ForecastTerm | None] = [None]
        if ensemble is not None:
            half = normal(members // 2, d)  # in pairs, as the members' own noise
            forecast = ensemble @ world.m.T + torch.stack([half, -half], 1).flatten(0, 1) @ root_q.T
            error = forecast.T.cov() if sampled else p
            observed = forecast if own else forecast.mean(0, keepdim=True)
            fields = as_fields(observed.float())
            terms = [ForecastTerm(prior, torch.eye(d)[None], error.float()[None], field) for field in fields]
        values = (y / world.error).float()
        noises = [MemberNoise(0, START + timedelta(hours=number), k) for k in range(1, members + 1)]
        parts = [noises] if len(terms) == 1 else [[noise] for noise in noises]
        drawn = [draw(prior, Observations(points, values, t), n, settings) for t, n in zip(terms, parts, strict=True)]
        ensemble = as_variables(torch.cat(drawn)).double()
        gain = p @ h.T @ torch.linalg.inv(h @ p @ h.T + r)
        mean, p = mean + gain @ (y - h @ mean), p - gain @ h @ p
        differences.append((ensemble.mean(0) - mean) / p.diagonal().sqrt())
        ratios.append(ensemble.var(0) / p.diagonal())
    spread = torch.stack(ratios)
    return Agreement(
        float(torch.stack(differences).square().mean().sqrt()),
        float(spread.mean().sqrt()),
        float(spread.mean(0).min().sqrt()),
        float(spread.mean(0).max().sqrt()),
    )


def draw(prior: GaussianPrior, observations: Observations, noises: list[MemberNoise], settings: Settings) -> Tensor:
    """Fields of one member per noise, by the same steps as the Analyst's."""
    x = gaussian_posterior(Conditioner(prior, prior.covariance, prior.rest, observations), noises)
    if not METHODS[settings.method].network:
        return x
    ladder, solver = settings.plan()
    white = torch.stack([noise.draw(x.shape[1:]) for noise in noises]) / prior.weights.sqrt()
    with torch.no_grad():
        denoiser = guidance(settings.method, prior).guide(prior.denoise, observations)
        return sample(denoiser, x + ladder[0] * white, ladder, solver=solver)
