"""``dacycle train spread``: a bundle's analyses are cycled over worlds that no training saw, as the product cycles, and
what is added to their members follows channel, latitude and season from then on.

OUT/WORLD-NETWORK/  what is done of each: the same command goes on where it was stopped
OUT/bundle/         the bundle with the factors found
"""

import argparse
import shutil
from itertools import product
from pathlib import Path

import numpy as np

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--bundle", default="default")
    truth = "nature runs or zarr stores that no training saw, best of several seasons"
    parser.add_argument("--truth", required=True, nargs="+", help=truth)
    parser.add_argument("--days", type=float, default=24.0, help="how many of their last days are cycled over")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--sites", type=int, default=500, help="of the simulated network")
    told = "seeds of the networks: what is lacking differs with where soundings are; every world is seen by each"
    parser.add_argument("--networks", type=int, nargs="+", default=[99, 7], help=told)
    parser.add_argument("--skip", type=int, default=8, help="first analysis times of each that count for nothing")
    parser.add_argument("--version", help="of the new bundle; unset: the old one's")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Cycle, compare, write; returns the exit code."""
    import torch

    from dacycle.cycler.assimilation.analysis import Settings
    from dacycle.cycler.bundle import FILES, open_bundle
    from dacycle.cycler.experiments.claim import claim
    from dacycle.cycler.experiments.osse_methods import World
    from dacycle.cycler.training.bundle import write_card, write_inflation_square
    from dacycle.cycler.training.calibrate import observed
    from dacycle.cycler.training.dataset import open_dataset
    from dacycle.cycler.training.super_resolution import Refiner
    from dacycle.cycler.training.zonal_spread import Recording, cycled, inflation_square
    from dacycle.emulators.registry import load_emulator

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle = open_bundle(args.bundle)
    args.out.mkdir(parents=True, exist_ok=True)
    claim(
        args.out,
        {"bundle": bundle.digest}
        | {name: vars(args)[name] for name in ("truth", "networks", "days", "members", "sites")},
    )
    analyst, emulator = Recording(bundle, Settings()), load_emulator(bundle)
    cases = []
    for location, network in product(args.truth, args.networks):
        nature = open_dataset(location, bundle.grid.shape)
        batches = observed(bundle, nature, args.days, args.sites, network)
        nothing = np.empty(0, np.float32)
        world = World(bundle, emulator, batches, nothing, args.members, 0, lambda: Refiner(bundle, None))
        for case in cycled(world, nature, analyst, args.skip, args.out / f"{Path(nature.name).stem}-{network}"):
            cases.append(case)
            print(f"{nature.name}, network {network}: {len(cases)} analyses compared", flush=True)
    square = inflation_square(bundle.grid, cases)
    target = args.out / "bundle"
    target.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copyfile(bundle.path / name, target / name)
    write_inflation_square(target / "statics.nc", square)
    scores = {**bundle.card.scores, "inflation_analyses": len(cases)}
    update = {"scores": scores, "version": args.version or bundle.card.version}
    write_card(target / "bundle.toml", bundle.card.model_copy(update=update))
    even = np.sqrt(np.clip(square[0], 0, None))
    told = "  ".join(f"{c.name} {row.min():.2f}-{row.max():.2f}" for c, row in zip(bundle.channels, even, strict=True))
    print(f"factor on what is added, mean of the year, least to most over latitude: {told}\nbundle {target}")
    return 0
