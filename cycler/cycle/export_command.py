"""``dacycle export``: the products of a period, whole or in part, as one file for other tools."""

import argparse
from pathlib import Path

from dacycle.cycler.arguments import add_period
from dacycle.errors import DacycleError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``dacycle export``."""
    add_period(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="file to write: *.nc, *.zarr, or *.grib2, of which there is one per kind, as FILE_mean.grib2",
    )
    told = "degrees, west may be negative or greater than east (across the zero meridian); default: the globe"
    parser.add_argument("--region", type=float, nargs=4, metavar=("SOUTH", "WEST", "NORTH", "EAST"), help=told)
    parser.add_argument("--channels", nargs="+", metavar="NAME", help="as t850 z500 msl; default: all")
    told = "default: mean spread"
    parser.add_argument(
        "--kinds", nargs="+", choices=["members", "mean", "spread"], default=["mean", "spread"], help=told
    )
    parser.add_argument("--stream", choices=["delayed", "early"], default="delayed", help="default: delayed")
    told = "the TOML file; without it the defaults and the environment count"
    parser.add_argument("--config", type=Path, metavar="FILE", help=told)


def run(args: argparse.Namespace) -> None:
    """Write the file and say what is in it."""
    from dacycle.cycler.config_file import load_config
    from dacycle.cycler.cycle.history import History
    from dacycle.cycler.products.export import Request, export
    from dacycle.cycler.products.pieces import Region

    config = load_config(args.config)
    region = Region(*args.region) if args.region else Region()
    try:
        request = Request(tuple(args.kinds), tuple(args.channels) if args.channels else None, region)
        with History.read(config.paths.state) as history:
            entries = history.products(args.start, args.end, args.stream)
        written = export(config.paths.state, entries, request, args.out)
    except ValueError as error:  # a channel that is none
        raise DacycleError(str(error)) from None
    size = sum(p.stat().st_size for out in written for p in (out.rglob("*") if out.is_dir() else [out]) if p.is_file())
    names = ", ".join(map(str, written))
    print(f"{names}: {len(entries)} cycles, {entries[0].time:%Y-%m-%dT%H} to {entries[-1].time:%Y-%m-%dT%H}, ", end="")
    print(f"{size / 1e6:.1f} MB")
