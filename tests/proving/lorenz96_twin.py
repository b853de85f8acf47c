"""The twin experiment of Sakov and Oke (2008) with Lorenz-96: `python -m tests.proving.lorenz96_twin [--cycles 1000]`.

All 40 variables are observed every 0.05 with unit errors. Ours is the product's guided sampler with a trained
climatological score and the forecast as an observation, whose error covariance is the ensemble's, localised; beside it
stand 3D-Var, a perturbed-observation EnKF and an LETKF of our own. Prints the table of docs/methods.md.
"""

import argparse
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.gaspari_cohn import gaspari_cohn
from dacycle.cycler.assimilation.guidance import guidance
from dacycle.cycler.assimilation.letkf import Localisation, transform
from dacycle.cycler.assimilation.methods import LetkfSettings
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.posterior import gaussian_posterior
from dacycle.cycler.assimilation.sampler import karras_ladder, sample
from tests.proving.lorenz96 import DIMENSION, ring_distance, step, trajectory
from tests.proving.ring_prior import Climate, RingPrior, climate, train
from tests.proving.single_mode import as_fields, as_variables, observe

__all__ = ["Filter", "enkf", "letkf", "score_based", "three_d_var", "twin"]

Filter = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""(forecasts (N, 40), observations (40,), generator) -> analyses (N, 40), physical, double precision."""


def centred(members: int, generator: torch.Generator) -> Tensor:
    """Standard normal draws (members, 40) with a mean of zero and unit variance."""
    e = torch.randn(members, DIMENSION, generator=generator, dtype=torch.float64)
    return (e - e.mean(0)) * math.sqrt(members / (members - 1))


def three_d_var(covariance: Tensor) -> Filter:
    """One member, a static background covariance (40, 40)."""
    gain = covariance @ torch.linalg.inv(covariance + torch.eye(DIMENSION, dtype=torch.float64))

    def analyse(forecast: Tensor, y: Tensor, _: torch.Generator) -> Tensor:
        return forecast + (y - forecast) @ gain.T

    return analyse


def enkf(inflation: float, radius: float) -> Filter:
    """Perturbed observations (Burgers et al. 1998), covariance localised."""
    weights = gaspari_cohn(ring_distance(), radius)

    def analyse(forecast: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        mean = forecast.mean(0)
        x = (forecast - mean) * inflation
        p = x.T @ x / (len(x) - 1) * weights
        gain = p @ torch.linalg.inv(p + torch.eye(DIMENSION, dtype=torch.float64))
        return mean + x + (y + centred(len(x), generator) - mean - x) @ gain.T

    return analyse


def letkf(inflation: float, radius: float) -> Filter:
    """The product's transform on the ring."""
    settings = LetkfSettings(radius, 1.0, relaxation=0.0, additive=0.0, inflation=False)
    local = Localisation(ring_distance().float(), torch.zeros(1), settings)

    def analyse(forecast: Tensor, y: Tensor, _: torch.Generator) -> Tensor:
        mean = forecast.mean(0)
        x = ((forecast - mean) * inflation).float()
        channel = torch.zeros(DIMENSION, dtype=torch.long)
        added, moved = transform(x[:, None], x, (y - mean).float(), channel, local, settings)
        return mean + (added + moved)[:, 0].double()

    return analyse


def score_based(
    known: Climate, model: RingPrior, inflation: float, radius: float, steps: int, largest: float, own: bool
) -> Filter:
    """The guided sampler. ``own``: a member starts from its own forecast, conditioned on perturbed observations, in the
    place of a new draw of the forecast's distribution. ``steps`` = 0 leaves the score out."""
    prior, identity = model.prior, torch.eye(DIMENSION)[None]
    points = observe(prior, torch.arange(DIMENSION), 1 / known.std)
    weights = gaspari_cohn(ring_distance(), radius).float()
    number = 0

    def analyse(forecast: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        nonlocal number
        number += 1
        v = known.normalise(forecast)
        mean, x = v.mean(0), (v - v.mean(0)) * inflation
        covariance = x.T @ x / (len(x) - 1) * weights
        term = ForecastTerm(prior, identity, covariance[None], as_fields(mean[None])[0], (1e-4, 0.995))
        observations = Observations(points, known.normalise(y) * known.std, term)
        system = Conditioner(prior, prior.covariance, prior.rest, observations)
        time = datetime(2001, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        noises = [MemberNoise(0, time, k) for k in range(1, len(v) + 1)]
        if own:
            # A member's forecast is a draw of the state given the past: the forecast's residual of it is zero.
            fields = as_fields(mean + x)
            residual = observations.innovation + centred(len(v), generator).float() - points.apply(fields)
            solved = system.solve((residual, torch.zeros(len(v), *term.variance.shape)), tolerance=None)
            fields = fields + prior.synthesise(solved.increment)
        else:
            fields = gaussian_posterior(system, noises)
        if steps > 0:
            ladder = karras_ladder(largest, SMALLEST, steps)
            white = torch.stack([noise.draw(fields.shape[1:]) for noise in noises])
            with torch.no_grad():
                denoiser = guidance("sda-jacobian", prior).guide(model, observations)
                fields = sample(denoiser, fields + largest * white, ladder)
        return known.physical(as_variables(fields))

    return analyse


SMALLEST = 0.005  # a tenth of the posterior's spread: what the last denoising takes away is of second order in it


def twin(method: Filter, members: int, cycles: int, spin_up: int = 100, seed: int = 7) -> tuple[float, float]:
    """RMSE of the analysis mean and spread, means over cycles after ``spin_up``; all methods see the same truth."""
    generator = torch.Generator().manual_seed(seed)
    truth = trajectory(1, 1, seed)[0, 0]
    ensemble = truth + 0.5 * torch.randn(members, DIMENSION, generator=generator, dtype=torch.float64)
    observing = torch.Generator().manual_seed(seed + 1)
    errors, spreads = [], []
    for number in range(cycles):
        truth, ensemble = step(truth), step(ensemble)
        y = truth + torch.randn(DIMENSION, generator=observing, dtype=torch.float64)
        ensemble = method(ensemble, y, generator)
        if number >= spin_up:
            errors.append((ensemble.mean(0) - truth).square().mean().sqrt())
            spreads.append(ensemble.var(0).mean() if members > 1 else torch.zeros((), dtype=torch.float64))
    return float(torch.stack(errors).mean()), float(torch.stack(spreads).mean().sqrt())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--training-steps", type=int, default=1500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    known = climate()
    model, losses = train(known, args.training_steps)
    print(f"score: denoising error {sum(losses[-300:]) / 300:.2f} of the Gaussian's, over all noise levels")
    background = 0.02 * known.std**2 * known.correlation
    rows: list[tuple[str, int, Filter]] = [
        ("3D-Var, B = 0.02 C", 1, three_d_var(background)),
        ("EnKF, perturbed observations", 40, enkf(1.02, 7.0)),
        ("LETKF", 10, letkf(1.03, 4.0)),
        ("Gaussian conditioning, new draws", 40, score_based(known, model, 1.02, 5.0, 0, 0.0, own=False)),
        ("Gaussian conditioning, own forecasts", 40, score_based(known, model, 1.01, 10.0, 0, 0.0, own=True)),
        ("guided sampler, new draws", 40, score_based(known, model, 1.15, 5.0, 5, 0.3, own=False)),
        ("guided sampler, own forecasts, from 0.2", 40, score_based(known, model, 1.05, 7.0, 6, 0.2, own=True)),
        ("guided sampler, own forecasts, from 0.02", 40, score_based(known, model, 1.04, 7.0, 3, 0.02, own=True)),
    ]
    print("| method | members | analysis RMSE | spread | s a cycle |\n|---|---|---|---|---|")
    for name, members, method in rows:
        began = time.process_time()
        error, spread = twin(method, members, args.cycles)
        print(
            f"| {name} | {members} | {error:.3f} | {spread:.3f} | {(time.process_time() - began) / args.cycles:.3f} |"
        )


if __name__ == "__main__":
    main()
