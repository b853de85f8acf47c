"""``dacycle train local-errors``: a bundle's analyses are cycled over worlds that no training saw, as the product
cycles, and from then on forecasts are believed, place by place, by how much their members differ.

OUT/WORLD-NETWORK/  what is done of each: the same command goes on where it was stopped
OUT/bundle/         the bundle with the statistics found
"""

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--bundle", default="default")
    truth = "nature runs or zarr stores that no training saw, best of several seasons"
    parser.add_argument("--truth", required=True, nargs="+", help=truth)
    parser.add_argument("--days", type=float, default=16.0, help="how many of their last days are cycled over")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--sites", type=int, default=500, help="of the simulated network")
    parser.add_argument("--networks", type=int, nargs="+", default=[99], help="seeds of the networks")
    parser.add_argument("--skip", type=int, default=6, help="first analysis times of each that count for nothing")
    parser.add_argument("--version", help="of the new bundle; unset: the old one's")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Cycle, compare, write; returns the exit code."""
    import torch

    from dacycle.cycler.assimilation.analysis import Analyst, Settings
    from dacycle.cycler.bundle import NODES, open_bundle
    from dacycle.cycler.experiments.claim import claim
    from dacycle.cycler.training.bundle import copy_bundle, write_measured
    from dacycle.cycler.training.local_cycle import followed, with_local_statistics
    from dacycle.cycler.training.unseen_worlds import experiment, unseen_worlds
    from dacycle.emulators.registry import load_emulator

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle = open_bundle(args.bundle)
    args.out.mkdir(parents=True, exist_ok=True)
    claim(args.out, experiment(args, bundle))
    analyst, emulator = Analyst(bundle, Settings()), load_emulator(bundle)
    pairs = []
    for unseen in unseen_worlds(args, bundle, emulator):
        for pair in followed(unseen, analyst, args.skip):
            pairs.append(pair)
            print(f"{unseen.told}: {len(pairs)} forecasts compared", flush=True)
    found = with_local_statistics(bundle, analyst, torch.stack(pairs).sum(0))
    target = copy_bundle(bundle, args.out / "bundle", args.version, {"local_error_forecasts": len(pairs)})
    assert found.local_slope is not None
    assert found.local_error is not None
    measured = {"local_slope": found.local_slope, "local_error_covariance": found.local_error}
    write_measured(target / "statics.nc", **measured)
    modes = 2 * torch.arange(found.local_error.shape[1]) + 1
    climate = torch.einsum("l,lcc->c", modes.float(), analyst.prior.gaussian.covariance[: len(modes)])
    for node, error in zip(NODES, found.local_error, strict=True):
        share = torch.einsum("l,lcc->c", modes.float(), torch.as_tensor(error)) / climate
        told = "  ".join(f"{c.name} {float(s):.2f}" for c, s in zip(bundle.channels, share, strict=True))
        print(f"relative spread {node}: unknown of the climate's variance: {told}")
    print(f"bundle {target}")
    return 0
