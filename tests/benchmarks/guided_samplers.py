"""One member by our guided sampler and by its peers': the same denoiser, the same observations, CPU time and memory.

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install -c constraints.txt -e .
    /tmp/peers/bin/pip install -c constraints.txt azula==0.11.1 nvidia-physicsnemo==2.2.2
    OMP_NUM_THREADS=1 /tmp/peers/bin/python -m tests.benchmarks.guided_samplers [--bundle default] [--members 1]

The peers have an environment of their own: physicsnemo brings many packages. `--no-deps` and the few that its imports
name will do, too; timm and torchvision, which the samplers do not use, are replaced by an empty module.

Every contender runs in a process of its own, three times in turn; the smallest CPU time counts. Their noise is white
per pixel, ours on the sphere: with u = x sqrt(w), w the area weight, they sample the same distribution.

With ``--closed-form`` the contenders draw 60 members of the Gaussian world of `tests.proving` instead, and their errors
against the exact posterior are printed.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation import gain
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import coarsen, observe
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.guidance import PUBLISHED_GAMMA, guidance
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.posterior import gaussian_posterior
from dacycle.cycler.assimilation.prior import Denoiser
from dacycle.cycler.assimilation.sampler import sample
from dacycle.cycler.assimilation.stacked import Stacked
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.obs.batch import ObservationBatch
from tests.proving.gaussian_world import Exact, make_world

TIME = datetime(2001, 8, 25, tzinfo=UTC)
SITES, LEVELS = 520, 14
STEPS = 18


@dataclass(frozen=True)
class Problem:
    """A denoiser, what it is the prior of, and observations."""

    prior: GaussianPrior
    denoiser: Denoiser
    observations: Observations


def full_size(bundle: Bundle) -> Problem:
    """The bundle's own network; made-up soundings of a drawn state (about 7,300 values); eight 32x64 forecasts of it,
    which differ more over one half of the globe than over the other: ours takes its errors by place, as in the product.
    """
    analyst, rng = Analyst(bundle, Settings()), np.random.default_rng(0)
    drawn = analyst.prior.anomalies(analyst.prior.gaussian.sample(5, torch.Generator().manual_seed(5))[1], bundle)
    truth = (bundle.climatology.mean(TIME)[None] + drawn[:1].numpy() * bundle.climatology.std).astype(np.float32)
    differing = np.exp(1.2 * np.sin(np.deg2rad(bundle.grid.lon)))[None, None, None] * drawn[1:].numpy()
    apart = 0.2 * differing * bundle.climatology.std
    forecasts = np.concatenate([truth + apart, truth - apart]).astype(np.float32)
    n = SITES * LEVELS
    index = np.concatenate([rng.permutation(len(bundle.channels))[:LEVELS] for _ in range(SITES)])
    lat = np.rad2deg(np.arcsin(rng.uniform(-1, 1, SITES))).repeat(LEVELS)
    batch = ObservationBatch(
        analysis_time=TIME,
        channel=np.array([bundle.channels[k].name for k in index]),
        lat=lat,
        lon=rng.uniform(0, 360, SITES).repeat(LEVELS),
        time=np.full(n, np.datetime64("2001-08-25T00", "s")),
        value=np.zeros(n),
        sigma=0.25 * bundle.climatology.std.mean((1, 2))[index].astype(np.float64),
        elevation=np.zeros(n),
        station=np.full(n, "XXX00000001"),
        report=np.full(n, "r"),
        quality=np.zeros(n, np.int16),
    )
    values = observe(bundle, truth, batch)[0] + batch.sigma * rng.normal(size=n)
    batch = ObservationBatch(analysis_time=TIME, **{**batch.arrays(), "value": values})
    observations = analyst.observations(TIME, batch, coarsen(bundle, forecasts), bundle)
    assert observations.local is not None or bundle.local_error is None
    return Problem(analyst.prior.gaussian, analyst.prior.at(TIME), observations)


def ours(problem: Problem, members: int, method: str = "sda") -> Tensor:
    """The default method from start to end, the solution of the start included."""
    prior, noises = problem.prior, [MemberNoise(0, TIME, k) for k in range(1, members + 1)]
    ladder, solver = Settings(method).plan()
    with torch.no_grad():
        x = gaussian_posterior(Conditioner(prior, prior.covariance, prior.rest, problem.observations), noises)
        white = torch.stack([noise.draw(x.shape[1:]) for noise in noises]) / prior.weights.sqrt()
        guided = guidance(method, prior).guide(problem.denoiser, problem.observations)
        return sample(guided, x + ladder[0] * white, ladder, solver=solver)


def even(problem: Problem, members: int) -> Tensor:
    """The default method, the forecast's error the same everywhere, as the peers take it."""
    return ours(replace(problem, observations=replace(problem.observations, local=None)), members)


def floor(problem: Problem, members: int) -> Tensor:
    """The denoiser calls of the default method alone."""
    x = torch.zeros(members, problem.prior.channels, *problem.prior.grid.shape)
    with torch.no_grad():
        return sample(problem.denoiser, x, Settings().plan()[0])


def physicsnemo(problem: Problem, members: int, guidances: int = 2) -> Tensor:
    """physicsnemo's score predictor with its SDA covariance, a guidance each for soundings and forecast, or one."""
    from physicsnemo.diffusion.guidance import DPSScorePredictor, ModelConsistencyDPSGuidance
    from physicsnemo.diffusion.noise_schedulers import EDMNoiseScheduler
    from physicsnemo.diffusion.samplers import sample as their_sample

    prior, root = problem.prior, problem.prior.weights.sqrt()
    stacked, n = Stacked(prior, problem.observations), len(problem.observations.points)
    points, term = problem.observations.points, problem.observations.forecast
    assert term is not None
    gamma = (PUBLISHED_GAMMA * stacked.variance(torch.ones_like(prior.rest)))[None]
    error = term.variance.sqrt()
    operators: list[tuple[Callable[[Tensor], Tensor], slice]] = [
        (lambda u: points.apply(u / root), slice(0, n)),
        (lambda u: (term.apply(prior.analyse(u / root)) / error).flatten(1), slice(n, None)),
    ]
    if guidances == 1:
        operators = [(lambda u: stacked.apply(u / root), slice(None))]
    scheduler = EDMNoiseScheduler()
    terms = [
        ModelConsistencyDPSGuidance(
            operator,
            stacked.values[None, part].expand(members, -1),
            1.0,
            gamma=gamma[:, part],
            sigma_fn=scheduler.sigma,
            retain_graph=k < len(operators) - 1,
        )
        for k, (operator, part) in enumerate(operators)
    ]
    score = DPSScorePredictor(
        lambda u, t: root * problem.denoiser(u / root, t.expand(len(u))), scheduler.x0_to_score, terms
    )
    torch.manual_seed(0)
    start = scheduler.sigma_max * torch.randn(members, prior.channels, *prior.grid.shape)
    with torch.no_grad():
        denoiser = scheduler.get_denoiser(score_predictor=score)
        drawn: Tensor = their_sample(denoiser, start, scheduler, STEPS, solver="euler")
    return drawn / root


def azula(problem: Problem, members: int, iterations: int = 1) -> Tensor:
    """azula's moment-matching posterior sampling with Euler steps."""
    from azula.denoise import Denoiser as TheirDenoiser
    from azula.denoise import DiracPosterior
    from azula.guidance.mmps import MMPSDenoiser
    from azula.linalg.covariance import IsotropicCovariance
    from azula.noise import VESchedule
    from azula.sample import EulerSampler

    prior, root = problem.prior, problem.prior.weights.sqrt()
    stacked = Stacked(prior, problem.observations)

    class Wrapped(TheirDenoiser):
        schedule = VESchedule(0.002, 80.0)

        def forward(self, x_t: Tensor, t: Tensor, **_: object) -> DiracPosterior:
            sigma = self.schedule(t)[1].expand(len(x_t))
            return DiracPosterior(root * problem.denoiser(x_t / root, sigma))

    guided = MMPSDenoiser(
        Wrapped(), stacked.values, lambda u: stacked.apply(u / root), IsotropicCovariance(1.0), "cg", iterations
    )
    torch.manual_seed(0)
    sampler = EulerSampler(guided, steps=STEPS, silent=True)
    drawn: Tensor = sampler(80.0 * torch.randn(members, prior.channels, *prior.grid.shape))
    return drawn / root


CONTENDERS: dict[str, Callable[[Problem, int], Tensor]] = {
    "floor: denoiser calls alone": floor,
    "dacycle sda": ours,
    "dacycle sda, one error": even,
    "dacycle sda-jacobian": lambda problem, members: ours(problem, members, "sda-jacobian"),
    "physicsnemo, two guidances": physicsnemo,
    "physicsnemo, stacked": lambda problem, members: physicsnemo(problem, members, 1),
    "azula MMPS, 1 iteration": azula,
}


class _Absent(MetaPathFinder, Loader):
    """Stands in for packages that an import chain names and the samplers do not use."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.split(".")[0] in ("timm", "torchvision") else None

    def create_module(self, spec: ModuleSpec) -> MagicMock:
        return MagicMock(__path__=[], __name__=spec.name, __spec__=spec)

    def exec_module(self, module: object) -> None:
        pass


def measure(name: str, bundle: str, members: int, closed_form: bool) -> dict[str, float]:
    """Run one contender in this process."""
    torch.set_num_threads(1)
    if closed_form:
        world = make_world()
        gain.FEW = 60  # solved as for a member alone, whose time is measured
        told = Exact(world).errors(CONTENDERS[name](Problem(world.prior, world.prior.denoise, world.observations), 60))
        return {**vars(told)}
    problem = full_size(open_bundle(bundle))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    drawn = CONTENDERS[name](problem, members)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    finite = float(torch.isfinite(drawn).all())
    return {"seconds": seconds / members, "peak_mb": peak / 1024, "before_mb": before / 1024, "finite": finite}


def main() -> None:
    """Measure all contenders, or one when asked by the parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--closed-form", action="store_true")
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        sys.meta_path.insert(0, _Absent())
        print(json.dumps(measure(args.one, args.bundle, args.members, args.closed_form)))
        return
    best: dict[str, dict[str, float]] = {}
    for _ in range(1 if args.closed_form else args.rounds):
        for name in args.only:
            if args.closed_form and name.startswith("floor"):
                continue
            told = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.guided_samplers", "--one", name, "--bundle", args.bundle]
                + ["--members", str(args.members)]
                + (["--closed-form"] if args.closed_form else []),
                stdout=subprocess.PIPE,
                check=True,
                cwd=Path(__file__).parents[2],
            )
            found = json.loads(told.stdout.splitlines()[-1])
            if name not in best or found.get("seconds", 0) < best[name].get("seconds", 0):
                best[name] = found
    reference = best.get("physicsnemo, two guidances", {}).get("seconds")
    for name, found in best.items():
        text = "  ".join(f"{key} {value:.3g}" for key, value in found.items())
        ratio = f"  ratio {found['seconds'] / reference:.2f}" if reference and "seconds" in found else ""
        print(f"{name:<30} {text}{ratio}", flush=True)


if __name__ == "__main__":
    main()
