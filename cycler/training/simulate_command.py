"""``dacycle simulate``: a nature run of the simulated world, or soundings and gridded truth taken from one."""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dacycle.cycler.training.branch import open_donor
from dacycle.cycler.training.progress import one_line
from dacycle.cycler.training.simulate import GRIDS, NatureRun, choose_device, simulate
from dacycle.errors import DacycleError

__all__ = ["add_arguments", "run"]

SPIN_UP_DAYS = 107  # the stratosphere starts isothermal: at T85 250 hPa is 11 K too warm after 35 days, 1 K after 70
SETTLING_DAYS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: ``nature`` and ``soundings``."""
    kinds = parser.add_subparsers(dest="kind", required=True)
    nature = kinds.add_parser("nature", help="integrate the simulated atmosphere (needs the extra `simulate`)")
    nature.add_argument(
        "--truncation",
        type=int,
        choices=sorted(GRIDS),
        default=85,
        help="T85 is 128x256 points, T42 64x128, T31 48x96; %(default)s unless given",
    )
    nature.add_argument("--seed", type=int, required=True, help="of the disturbance that it begins with")
    nature.add_argument("--start", type=_day, metavar="DATE", help="first day of the spin-up")
    told = "start from the last state of this run, of the same truncation or a coarser one, instead of from rest"
    nature.add_argument("--initial", type=Path, metavar="RUN", help=told)
    told = f"before the output; {SPIN_UP_DAYS} from rest, {SETTLING_DAYS} from another run, unless given"
    nature.add_argument("--spinup-days", type=int, help=told)
    nature.add_argument("--days", type=int, required=True, help="days of six-hourly output after the spin-up")
    nature.add_argument("--out", type=Path, required=True, help="netCDF; an interrupted run goes on")
    told = "runs with seeds from --seed upwards, in OUT-seedN.nc"
    nature.add_argument("--members", type=int, default=1, help=told)
    nature.add_argument(
        "--device",
        choices=["auto", "cpu", "gpu"],
        default="auto",
        help="where it is integrated; %(default)s unless given",
    )
    soundings = kinds.add_parser("soundings", help="observe a nature run with a made-up network, as IGRA v2 text")
    soundings.add_argument("--truth", type=Path, required=True, help="nature run")
    soundings.add_argument("--out", type=Path, required=True, help="folder: archive/ and truth.nc")
    soundings.add_argument("--sites", type=int, default=500, help="stations; %(default)s unless given")
    soundings.add_argument("--seed", type=int, default=0, help="of places and errors; %(default)s unless given")
    soundings.add_argument(
        "--start", type=_time, required=True, metavar="TIME", help="first analysis time, as 2001-08-25T00 (UTC)"
    )
    soundings.add_argument("--end", type=_time, required=True, metavar="TIME", help="last one")
    soundings.add_argument(
        "--interval-hours", type=int, default=12, help="from one to the next; %(default)s unless given"
    )


def run(args: argparse.Namespace) -> int:
    """Carry it out; returns the exit code."""
    if args.kind == "soundings":
        from dacycle.cycler.training.network import write_network, write_truth

        step = timedelta(hours=args.interval_hours)
        if args.end < args.start or args.interval_hours < 1:
            told = f"{args.start:%Y-%m-%dT%H} to {args.end:%Y-%m-%dT%H} every {args.interval_hours} hours"
            raise DacycleError(f"dacycle simulate soundings: expected --end at or after --start, and hours; got {told}")
        times = [args.start + k * step for k in range(int((args.end - args.start) / step) + 1)]
        write_network(args.truth, args.out / "archive", args.sites, args.seed, times)
        write_truth(args.truth, args.out / "truth.nc", times)
        print(f"{len(times)} times at {args.sites} sites: {args.out / 'archive'}, truth in {args.out / 'truth.nc'}")
        return 0
    choose_device(args.device)
    if (args.start is None) == (args.initial is None):
        raise DacycleError("dacycle simulate nature: expected --start (from rest) or --initial (from another run)")
    if args.initial is not None and args.members > 1:
        raise DacycleError("dacycle simulate nature: runs from one --initial would be the same; --members 1, please")
    try:
        start = args.start or open_donor(args.initial).time
        usual = SPIN_UP_DAYS if args.initial is None else SETTLING_DAYS
        spin_up = usual if args.spinup_days is None else args.spinup_days
        for seed, out in runs(args.seed, args.members, args.out):
            nature = NatureRun(args.truncation, seed, start, spin_up, args.days, args.initial)
            simulate(nature, out, one_line)
    except ImportError as error:
        raise DacycleError(f"dacycle simulate needs the extra: pip install 'dacycle[simulate]' ({error})") from error
    except FloatingPointError as error:
        raise DacycleError(str(error)) from error
    return 0


def runs(seed: int, members: int, out: Path) -> list[tuple[int, Path]]:
    """Seed and file of each member; a single one has the file as named."""
    if members == 1:
        return [(seed, out)]
    return [(number, out.with_name(f"{out.stem}-seed{number}{out.suffix}")) for number in range(seed, seed + members)]


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)
