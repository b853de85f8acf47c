"""``dacycle train spread``: a bundle's analyses are cycled over worlds that no training saw, as the product cycles, and
what is added to their members follows channel and place from then on.

OUT/WORLD-NETWORK/  what is done of each: the same command goes on where it was stopped
OUT/bundle/         the bundle with the factors found
"""

import argparse

import numpy as np

from dacycle.cycler.bundle import NODES
from dacycle.cycler.training.unseen_arguments import add_unseen_arguments, begin

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    told = "seeds of the networks: what is lacking differs with where soundings are; every world is seen by each"
    add_unseen_arguments(parser, days=24.0, networks=[99, 7], skip=8, told=told)


def run(args: argparse.Namespace) -> int:
    """Cycle, compare, write; returns the exit code."""
    from dacycle.cycler.assimilation.analysis import Settings
    from dacycle.cycler.training.bundle import copy_bundle, write_measured
    from dacycle.cycler.training.local_spread import Recording, cycled, inflation_square
    from dacycle.cycler.training.unseen_worlds import unseen_worlds
    from dacycle.emulators.registry import load_emulator

    bundle = begin(args)
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
