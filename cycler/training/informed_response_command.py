"""``dacycle train informed-response``: how far a bundle's denoiser is to be believed where a forecast is known, found
degree by degree by cycling as the product does over worlds that no training saw.

OUT/WORLD-NETWORK/  what is done of each: the same command goes on where it was stopped
OUT/bundle/         the bundle with the response found
"""

import argparse

from dacycle.cycler.training.unseen_arguments import add_unseen_arguments, begin

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_unseen_arguments(parser, days=16.0, networks=[99], skip=6, told="seeds of the networks")


def run(args: argparse.Namespace) -> int:
    """Cycle, compare, write; returns the exit code."""
    from dacycle.cycler.assimilation.analysis import Settings
    from dacycle.cycler.training.bundle import copy_bundle, write_prior
    from dacycle.cycler.training.informed_response import Watching, informed_response, watched
    from dacycle.cycler.training.response import told
    from dacycle.cycler.training.unseen_worlds import unseen_worlds
    from dacycle.emulators.registry import load_emulator

    bundle = begin(args)
    analyst, emulator, moments = Watching(bundle, Settings()), load_emulator(bundle), []
    for unseen in unseen_worlds(args, bundle, emulator):
        for found in watched(unseen, analyst, args.skip):
            moments.append(found)
            print(f"{unseen.told}: {len(moments)} analyses compared", flush=True)
    prior = analyst.prior
    prior.informed = informed_response(moments)
    target = copy_bundle(bundle, args.out / "bundle", args.version, {"informed_response_analyses": len(moments)})
    write_prior(target, prior.state_dict())
    print(*told(prior.informed), f"bundle {target}", sep="\n")
    return 0
