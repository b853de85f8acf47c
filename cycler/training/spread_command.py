"""``dacycle train spread``: a bundle's analyses are cycled over worlds that no training saw, as the product cycles, and
what is added to their members follows channel and place from then on.

OUT/WORLD-NETWORK/  what is done of each: the same command goes on where it was stopped
OUT/bundle/         the bundle with the factors found
"""

import argparse
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
    from dacycle.cycler.bundle import NODES, open_bundle
    from dacycle.cycler.experiments.claim import claim
    from dacycle.cycler.training.bundle import copy_bundle, write_measured
    from dacycle.cycler.training.local_spread import Recording, cycled, inflation_square
    from dacycle.cycler.training.unseen_worlds import experiment, unseen_worlds
    from dacycle.emulators.registry import load_emulator

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle = open_bundle(args.bundle)
    args.out.mkdir(parents=True, exist_ok=True)
    claim(args.out, experiment(args, bundle))
    analyst, emulator = Recording(bundle, Settings()), load_emulator(bundle)
    cases = []
    for unseen in unseen_worlds(args, bundle, emulator):
        for case in cycled(unseen, analyst, args.skip):
            cases.append(case)
            print(f"{unseen.told}: {len(cases)} analyses compared", flush=True)
    square = inflation_square(cases)
    target = copy_bundle(bundle, args.out / "bundle", args.version, {"inflation_analyses": len(cases)})
    write_measured(target / "statics.nc", local_inflation=square)
    for node, row in zip(NODES, np.sqrt(square), strict=True):
        told = "  ".join(f"{c.name} {factor:.2f}" for c, factor in zip(bundle.channels, row, strict=True))
        print(f"relative spread {node}: factor on what is added: {told}")
    print(f"bundle {target}")
    return 0
