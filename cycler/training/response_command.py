"""``dacycle train response``: how far a bundle's denoiser is to be believed, degree by degree, found on states that no
training saw, and so that samples keep the energy. ``dacycle train prior`` finds the same on the days that it keeps
from training.

OUT/bundle/  the bundle with the response found
"""

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--bundle", default="default", help="a bundle's folder, or default")
    told = "nature runs or zarr stores that no training saw, best of several seasons"
    parser.add_argument("--data", nargs="+", required=True, help=told)
    parser.add_argument("--frames", type=int, default=40, help="states of each, evenly spread")
    told = "drawn on their dates, so that the flow keeps the energy; 0 leaves that out"
    parser.add_argument("--samples", type=int, default=24, help=told)
    parser.add_argument("--version", help="of the new bundle; unset: the old one's")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 leaves the choice to torch")


def run(args: argparse.Namespace) -> int:
    """Compare, write; returns the exit code."""
    import torch

    from dacycle.cycler.assimilation.prior import load_prior
    from dacycle.cycler.bundle import open_bundle
    from dacycle.cycler.training.balance import load_known
    from dacycle.cycler.training.bundle import copy_bundle, write_prior
    from dacycle.cycler.training.dataset import open_dataset
    from dacycle.cycler.training.flow_response import fit_flow
    from dacycle.cycler.training.frames import join, thinned
    from dacycle.cycler.training.response import fit_response, told

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle = open_bundle(args.bundle)
    prior, parts = load_prior(bundle), []
    for location in args.data:
        data = open_dataset(location, bundle.grid.shape)
        every = max(1, len(data.times) // args.frames)
        parts.append(load_known(data, bundle, prior, slice(0, None, every)))
    states = join(parts)
    prior.response = fit_response(prior, states)
    if args.samples:
        prior.response = fit_flow(prior, thinned(states, args.samples).season)
    args.out.mkdir(parents=True, exist_ok=True)
    target = copy_bundle(bundle, args.out / "bundle", args.version, {"response_states": len(states)})
    write_prior(target, prior.state_dict())
    print(*told(prior.response), f"bundle {target}", sep="\n")
    return 0
