"""``dacycle train average``: the network between a bundle's own and one that was trained further from it.

Two networks that share a beginning lie in one valley of the loss (Wortsman et al. 2022, "Model soups"). Each has
learned the large scales of its own days by heart, in part; the mean of their weights keeps what both know, and errs
less than either on days that neither has seen (docs/bundle-history.md). Climate, covariance and all statistics stay the
bundle's; how far the network is believed (``train response``) should be found anew.

OUT/bundle/  the bundle with the network between
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dacycle.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["add_arguments", "between", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--bundle", default="default", help="a bundle's folder, or default")
    told = "prior.safetensors of `dacycle train prior`, trained further from the bundle's (--initial)"
    parser.add_argument("--other", type=Path, required=True, help=told)
    parser.add_argument("--share", type=float, default=0.5, help="of the other network, from 0 to 1")
    parser.add_argument("--version", help="of the new bundle; unset: the old one's")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")


def run(args: argparse.Namespace) -> int:
    """Average, write; returns the exit code."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from dacycle.cycler.bundle import open_bundle
    from dacycle.cycler.training.bundle import copy_bundle, write_prior

    if not 0 <= args.share <= 1:
        raise ConfigError(f"--share {args.share:g}: expected a share of the other network, from 0 to 1")
    bundle = open_bundle(args.bundle)
    try:
        other = load_file(args.other)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"--other {args.other}: expected a safetensors file of a prior; {error}") from error
    weights = between(load_file(bundle.path / "prior.safetensors"), other, args.share)
    args.out.mkdir(parents=True, exist_ok=True)
    target = copy_bundle(bundle, args.out / "bundle", args.version, {"share_of_the_other_network": args.share})
    write_prior(target, weights)
    print(f"bundle {target}: {1 - args.share:g} of {bundle.path}, {args.share:g} of {args.other}")
    return 0


def between(own: "Mapping[str, Tensor]", other: "Mapping[str, Tensor]", share: float) -> "dict[str, Tensor]":
    """A prior's state with ``share`` of the ``other``'s network in place of its ``own``; all else is its own.

    BundleError where the networks are not of one shape.
    """
    found = dict(own)
    for name, weights in own.items():
        if not name.startswith("network.") or not weights.is_floating_point():
            continue
        if name not in other or other[name].shape != weights.shape:
            got = tuple(other[name].shape) if name in other else "nothing"
            raise BundleError(f"the other network: expected {name} of the shape {tuple(weights.shape)}; got {got}")
        found[name] = (1 - share) * weights.float() + share * other[name].float()
    return found
