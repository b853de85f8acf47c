"""Worlds that no training saw, watched by several networks: what statistics of the cycle are measured over."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.experiments.osse_methods import World
from dacycle.cycler.training.calibrate import observed
from dacycle.cycler.training.dataset import Dataset, open_dataset
from dacycle.cycler.training.super_resolution import Refiner
from dacycle.emulators.emulator import Emulator
from dacycle.errors import ConfigError

__all__ = ["UnseenWorld", "experiment", "unseen_worlds"]


@dataclass(frozen=True)
class UnseenWorld:
    """``nature``: the truth; ``world``: what is seen of it, no first analysis yet; ``folder``: what is done of it."""

    told: str
    nature: Dataset
    world: World
    folder: Path


def unseen_worlds(args: argparse.Namespace, bundle: Bundle, emulator: Emulator) -> Iterator[UnseenWorld]:
    """Every one of ``args.truth`` as each of ``args.networks`` sees it."""
    for location, network in product(args.truth, args.networks):
        nature = open_dataset(location, bundle.grid.shape)
        batches = observed(bundle, nature, args.days, args.sites, network)
        nothing = np.empty(0, np.float32)
        world = World(bundle, emulator, batches, nothing, args.members, 0, lambda: Refiner(bundle, None))
        folder = args.out / f"{Path(nature.name).stem}-{network}"
        yield UnseenWorld(f"{nature.name}, network {network}", nature, world, folder)


def experiment(args: argparse.Namespace, bundle: Bundle) -> dict[str, object]:
    """What a folder of this experiment is claimed by; ConfigError where its members say nothing of spread."""
    if args.members < 4 or args.members % 2:
        raise ConfigError(
            f"--members {args.members}: spread is judged from pairs of members; expected two pairs or more"
        )
    told = {name: vars(args)[name] for name in ("truth", "networks", "days", "members", "sites")}
    return {"bundle": bundle.digest, **told}
