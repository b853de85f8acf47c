"""``dacycle train spread``: a bundle's analyses are cycled over worlds that no training saw, as the product cycles;
what is added to their members follows channel and place from then on, and published members have the errors' tails.

OUT/WORLD-NETWORK/  what is done of each: the same command goes on where it was stopped
OUT/bundle/         the bundle with the factors and the tails found
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dacycle.cycler.bundle import NODES
from dacycle.cycler.training.unseen_arguments import add_unseen_arguments, begin

if TYPE_CHECKING:
    from dacycle.cycler.training.local_spread import Case

__all__ = ["add_arguments", "judged", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    told = "seeds of the networks: what is lacking differs with where soundings are; every world is seen by each"
    add_unseen_arguments(parser, days=24.0, networks=[99, 7], skip=8, told=told)


def run(args: argparse.Namespace) -> int:
    """Cycle, compare, write; returns the exit code."""
    from dacycle.cycler.assimilation.analysis import Settings
    from dacycle.cycler.training.bundle import copy_bundle, write_measured
    from dacycle.cycler.training.local_spread import Recording, cycled
    from dacycle.cycler.training.unseen_worlds import unseen_worlds
    from dacycle.emulators.registry import load_emulator

    bundle = begin(args)
    analyst, emulator = Recording(bundle, Settings()), load_emulator(bundle)
    by_world: dict[str, list[Case]] = {}
    for unseen in unseen_worlds(args, bundle, emulator):
        seen = by_world.setdefault(unseen.nature.name, [])
        for case in cycled(unseen, analyst, args.skip):
            seen.append(case)
            print(f"{unseen.told}: {len(seen)} analyses of this world compared", flush=True)
    cases = [case for seen in by_world.values() for case in seen]
    square, tails = _fitted(cases)
    target = copy_bundle(bundle, args.out / "bundle", args.version, {"inflation_analyses": len(cases)})
    write_measured(target / "statics.nc", local_inflation=square, error_tails=tails)
    for node, row in zip(NODES, np.sqrt(square), strict=True):
        told = "  ".join(f"{c.name} {factor:.2f}" for c, factor in zip(bundle.channels, row, strict=True))
        print(f"relative spread {node}: factor on what is added: {told}")
    print("tails: " + "  ".join(f"{c.name} {t:.2f}" for c, t in zip(bundle.channels, tails, strict=True)))
    print(*judged(by_world), f"bundle {target}", sep="\n")
    return 0


def judged(by_world: "Mapping[str, Sequence[Case]]") -> Iterator[str]:
    """How far rank histograms of every world bend with what the others alone say: what to expect of the next one."""
    from dacycle.cycler.training.error_tails import bends

    for name, cases in by_world.items():
        others = [case for other, seen in by_world.items() if other != name for case in seen]
        if others:
            found = bends([case.sample for case in cases], *_fitted(others))
            told = f"{found.mean():+.3f} on average, {np.abs(found).mean():.3f} in size"
            yield f"{name}, with what the other worlds say: rank histograms bend by {told}"


def _fitted(cases: "Sequence[Case]") -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The factor's square (nodes, channels) and the tails (channels,)."""
    from dacycle.cycler.training.error_tails import error_tails
    from dacycle.cycler.training.local_spread import inflation_square

    square = inflation_square(cases)
    return square, error_tails([case.sample for case in cases], square)
