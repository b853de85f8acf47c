"""``dacycle train sizes``: how large anomalies of a climate are at small scales, in zonal means, and in one season
against another; what a bundle's covariance and standard deviation, of all places and of the whole year, do not know.

OUT/bundle/  the bundle with what was found
"""

import argparse
from pathlib import Path

from dacycle.errors import ConfigError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--bundle", default="default", help="a bundle's folder, or default")
    told = "runs on the bundle's grid, best of several seasons: small scales by channel and latitude, zonal means"
    parser.add_argument("--data", nargs="+", default=[], help=told)
    told = "a run of two years or more, on any grid: variance by season, channel and place"
    parser.add_argument("--years", help=told)
    parser.add_argument("--version", help="of the new bundle; unset: the old one's")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 leaves the choice to torch")


def run(args: argparse.Namespace) -> int:
    """Measure, write; returns the exit code."""
    import numpy as np
    import torch

    from dacycle.cycler.assimilation.prior import load_prior
    from dacycle.cycler.bundle import open_bundle
    from dacycle.cycler.training.bundle import FloatArray, copy_bundle, write_measured
    from dacycle.cycler.training.coarse import read_dataset
    from dacycle.cycler.training.dataset import open_dataset
    from dacycle.cycler.training.seasonal_variance import seasonal_variance
    from dacycle.cycler.training.small_scales import measured_small_scales
    from dacycle.cycler.training.zonal_variance import measured_zonal_variance

    if args.threads:
        torch.set_num_threads(args.threads)
    if not args.data and not args.years:
        raise ConfigError("expected --data, --years or both: there is nothing to measure")
    bundle, measured = open_bundle(args.bundle), dict[str, FloatArray]()
    names = [c.name for c in bundle.channels]
    if args.data:
        natures = [open_dataset(location, bundle.grid.shape) for location in args.data]
        prior = load_prior(bundle)
        small = measured_small_scales(prior, bundle, natures)
        zonal = measured_zonal_variance(prior.climate, bundle, natures)
        measured |= {"small_scales": small, "zonal_variance": zonal}
        ranges = zip(names, small.min(1), small.max(1), strict=True)
        print("small scales: " + "  ".join(f"{name} {low:.2f} to {high:.2f}" for name, low, high in ranges))
        largest = zip(names, zonal.max(1), strict=True)
        print("zonal means beyond the covariance, largest: " + "  ".join(f"{name} {v:.2f}" for name, v in largest))
    if args.years:
        run = open_dataset(args.years, bundle.coarse.shape)
        if (days := (run.times[-1] - run.times[0]).days) < 700:
            raise ConfigError(f"--years {args.years}: expected two years or more; got {days} days")
        found = seasonal_variance(read_dataset(run, bundle.channels, bundle.coarse.shape))
        measured["seasonal_variance"] = found
        swing = np.sqrt(np.square(found[:2]).sum(0)).max((1, 2))
        told = "  ".join(f"{name} {most:.2f}" for name, most in zip(names, swing, strict=True))
        print(f"variance over the year, largest swing of any place: {told}")
    args.out.mkdir(parents=True, exist_ok=True)
    target = copy_bundle(bundle, args.out / "bundle", args.version, {})
    write_measured(target / "statics.nc", **measured)
    print(f"bundle {target}")
    return 0
