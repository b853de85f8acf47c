"""What the commands that cycle over worlds that no training saw have in common; no torch, so that help is quick."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.errors import ConfigError

__all__ = ["add_unseen_arguments", "begin", "some"]


def add_unseen_arguments(
    parser: argparse.ArgumentParser, days: float, networks: Sequence[int], skip: int, told: str
) -> None:
    """The arguments, with the command's own defaults; ``told``: of its networks."""
    parser.add_argument("--bundle", default="default", help="a bundle's folder, or default")
    truth = "nature runs or zarr stores that no training saw, best of several seasons"
    parser.add_argument("--truth", required=True, nargs="+", help=truth)
    parser.add_argument("--days", type=float, default=days, help="how many of their last days are cycled over")
    parser.add_argument("--members", type=int, default=8, help="of the cycles; %(default)s unless given")
    parser.add_argument("--sites", type=int, default=500, help="of the simulated network")
    parser.add_argument("--networks", type=int, nargs="+", default=list(networks), help=told)
    parser.add_argument("--skip", type=int, default=skip, help="first analysis times of each that count for nothing")
    parser.add_argument("--version", help="of the new bundle; unset: the old one's")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result; what is there is gone on with")
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 leaves the choice to torch")


def begin(args: argparse.Namespace) -> Bundle:
    """The bundle, with the folder claimed for this experiment; ConfigError where members say nothing of spread."""
    import torch

    from dacycle.cycler.experiments.claim import claim

    if args.threads:
        torch.set_num_threads(args.threads)
    bundle = open_bundle(args.bundle)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.members < 4 or args.members % 2:
        raise ConfigError(
            f"--members {args.members}: spread is judged from pairs of members; expected two pairs or more"
        )
    told = {name: vars(args)[name] for name in ("truth", "networks", "days", "members", "sites")}
    claim(args.out, {"bundle": bundle.digest, **told})
    return bundle


def some(args: argparse.Namespace, compared: int) -> None:
    """ConfigError where the arguments left nothing to compare."""
    if not compared:
        raise ConfigError(f"--days {args.days:g} with --skip {args.skip} leaves nothing to compare; expected more days")
