"""``dacycle train fluctuations``: what a free run of an emulator must be given of the small scales."""

import argparse
from dataclasses import replace
from pathlib import Path

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.progress import one_line

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--data", nargs="+", required=True, help="nature runs or zarr stores: free runs are to vary as they do"
    )
    parser.add_argument(
        "--bundle", default="default", help="bundle whose emulator is meant; fluctuations that it has are gone on from"
    )
    parser.add_argument("--emulator", type=Path, help="folder of `dacycle train emulator`, instead of the bundle's")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the result, as `dacycle train emulator` has it"
    )
    parser.add_argument("--rounds", type=int, default=16, help="of free runs and corrections")
    parser.add_argument("--days", type=float, default=30.0, help="length of a round")
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 leaves the choice to torch")
    parser.add_argument("--seed", type=int, default=0, help="of all random draws; %(default)s unless given")


def run(args: argparse.Namespace) -> int:
    """Fit and write; returns the exit code."""
    import torch

    from dacycle.cycler.training.coarse import join, read_dataset
    from dacycle.cycler.training.dataset import open_dataset, span
    from dacycle.cycler.training.emulator_files import open_emulator, publish
    from dacycle.cycler.training.fluctuations import FluctuationSettings, fit_fluctuations

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle, lucie, told = open_emulator(args.bundle, args.emulator)
    shape = bundle.coarse.shape
    data = join([read_dataset(open_dataset(where, bundle.grid.shape), DEFAULT_CHANNELS, shape) for where in args.data])
    settings = replace(FluctuationSettings(), rounds=args.rounds, days=args.days, seed=args.seed)
    found = fit_fluctuations(lucie, data, settings, one_line)
    args.out.mkdir(parents=True, exist_ok=True)
    source = f"{', '.join(args.data)}, {span(data.times)}; {args.rounds} rounds of {args.days:g} days"
    publish(args.out, found, {**told.get("training", told), "fluctuations": source}, told.get("scores"))
    return 0
