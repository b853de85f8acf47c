"""Worlds that no training saw, watched by several networks: what statistics of the cycle are measured over."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.experiments.osse_methods import Place, Plan, World, first_analysis
from dacycle.cycler.training.calibrate import observed
from dacycle.cycler.training.dataset import Dataset, open_dataset
from dacycle.cycler.training.super_resolution import Refiner
from dacycle.emulators.emulator import Emulator

__all__ = ["UnseenWorld", "folder", "unseen_worlds"]


@dataclass(frozen=True)
class UnseenWorld:
    """``nature``: the truth; ``world``: what is seen of it, no first analysis yet; ``folder``: what is done of it."""

    told: str
    nature: Dataset
    world: World
    folder: Path

    def begin(self, analyst: Analyst, plan: Plan) -> tuple[World, Place]:
        """Where the folder says that ``plan`` is, or its start from a first analysis of soundings alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.place.is_file():
            return self.world, Place.load(self.place)
        world = replace(self.world, first=first_analysis(self.world, analyst))
        return world, Place.start(world, plan)

    @property
    def place(self) -> Path:
        """The file that says how far it is."""
        return self.folder / "place.npz"


def unseen_worlds(args: argparse.Namespace, bundle: Bundle, emulator: Emulator) -> Iterator[UnseenWorld]:
    """Every one of ``args.truth`` as each of ``args.networks`` sees it."""
    for location, network in product(args.truth, args.networks):
        nature = open_dataset(location, bundle.grid.shape)
        batches = observed(bundle, nature, args.days, args.sites, network)
        nothing = np.empty(0, np.float32)
        world = World(bundle, emulator, batches, nothing, args.members, 0, lambda: Refiner(bundle, None))
        yield UnseenWorld(
            f"{nature.name}, network {network}", nature, world, args.out / folder(location, nature, network)
        )


def folder(location: str, nature: Dataset, network: int) -> str:
    """Its name: of run and network, and of the period where the location takes one of the run."""
    stem = Path(nature.name).stem
    period = f"-{nature.times[0]:%Y%m%d}-{nature.times[-1]:%Y%m%d}" if "@" in location else ""
    return f"{stem}{period}-{network}"
