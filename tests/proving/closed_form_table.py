"""Every method against the exact posterior of a Gaussian world: `python -m tests.proving.closed_form_table`.

Error of the guidance and error of the solver are told apart: the first by very many steps, the second by the exact
posterior's own denoiser. Prints the table of docs/methods.md.
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime

import torch
from torch import Tensor

from dacycle.cycler.assimilation.analysis import PUBLISHED_LEVELS, Settings
from dacycle.cycler.assimilation.guidance import Guidance, guidance
from dacycle.cycler.assimilation.methods import METHODS, SOLVERS
from dacycle.cycler.assimilation.mmps import MomentMatching
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.posterior import gaussian_posterior
from dacycle.cycler.assimilation.sampler import karras_ladder, sample
from tests.proving.gaussian_world import Exact, World, make_world

TIME = datetime(2001, 8, 25, tzinfo=UTC)
MANY = 100


def draw(world: World, guide: Guidance, settings: Settings, start: str, members: int) -> Tensor:
    """Members (m, channels, nlat, nlon), as the Analyst draws them."""
    noises = [MemberNoise(0, TIME, member) for member in range(1, members + 1)]
    prior, shape = world.prior, (world.prior.channels, *world.prior.grid.shape)

    def white() -> Tensor:
        return torch.stack([noise.draw(shape) for noise in noises]) / prior.weights.sqrt()

    ladder, solver = settings.plan()
    with torch.no_grad():
        x = gaussian_posterior(world.system, noises) if start == "posterior" else torch.zeros(shape)
        denoiser = guide.guide(prior.denoise, world.observations)
        return sample(denoiser, x + ladder[0] * white(), ladder, solver=solver, noise=white)


def rows(world: World, members: int) -> Iterator[tuple[str, str, str, int, Tensor]]:
    """(method, start, solver, calls, members)."""
    guided = [name for name, method in METHODS.items() if method.network]

    def row(name: str, guide: Guidance, settings: Settings, start: str) -> tuple[str, str, str, int, Tensor]:
        ladder, solver = settings.plan()
        calls = 2 * len(ladder) - 1 if solver == "heun" else len(ladder)
        return name, start, solver, calls, draw(world, guide, settings, start, members)

    noises = [MemberNoise(0, TIME, member) for member in range(1, members + 1)]
    yield "oi", "posterior", "-", 0, gaussian_posterior(world.system, noises)
    for name in guided:  # as they are selected by name
        start = METHODS[name].start
        yield row(name, guidance(name, world.prior), Settings(name), start)
    for name in guided:  # all with the default's start and solver
        if METHODS[name].start == "noise":
            levels = tuple(Settings().plan()[0])
            yield row(name, guidance(name, world.prior), Settings(name, solver="multistep", levels=levels), "posterior")
    for iterations in (1, 20):
        yield row(f"mmps, {iterations} it.", MomentMatching(world.prior, iterations), Settings(), "posterior")
    for name in guided:  # the guidance's own error: many steps
        levels = tuple(Settings(name, MANY).plan()[0])
        yield row(
            name, guidance(name, world.prior), Settings(name, solver="multistep", levels=levels), METHODS[name].start
        )
    largest, smallest = PUBLISHED_LEVELS[0], Settings().plan()[0][-1]
    spectral = guidance("sda", world.prior)
    for solver in SOLVERS:
        yield row("sda", spectral, Settings(solver=solver), "posterior")
        wide = tuple(karras_ladder(largest, smallest, 8 if solver == "heun" else 16))
        yield row("sda", spectral, Settings(solver=solver, levels=wide), "noise")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=100)
    members = parser.parse_args().members
    torch.set_num_threads(1)
    world = make_world()
    exact = Exact(world)
    print("| method | start | solver | calls | mean, rms | mean, worst | at soundings | gridded | unobserved |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, start, solver, calls, drawn in rows(world, members):
        e = exact.errors(drawn)
        told = " | ".join(f"{value:.3g}" for value in (e.mean, e.worst, *e.spreads))
        print(f"| {name} | {start} | {solver} | {calls} | {told} |", flush=True)


if __name__ == "__main__":
    main()
