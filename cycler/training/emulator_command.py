"""``dacycle train emulator``: nature runs -> emulator.safetensors and its scores."""

import argparse
from dataclasses import replace
from pathlib import Path

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.coarse import EmulatorData, join, read_dataset, split_tail
from dacycle.cycler.training.dataset import open_dataset
from dacycle.cycler.training.progress import one_line
from dacycle.emulators.lucie import LucieArguments

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--data", nargs="+", required=True, help="nature runs or zarr stores of its world")
    parser.add_argument("--extra", nargs="*", default=[], help="runs of a cheaper world: more examples")
    parser.add_argument("--validation", nargs="*", default=[], help="runs for the scores")
    parser.add_argument("--validation-days", type=float, default=15.0, help="else: the end of the last --data")
    parser.add_argument("--gap-days", type=float, default=5.0, help="left out between training and validation")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result; a checkpoint in it is resumed")
    parser.add_argument("--initial", type=Path, help="emulator.safetensors whose network is the start")
    parser.add_argument(
        "--grid",
        nargs=2,
        type=int,
        default=[32, 64],
        metavar=("NLAT", "NLON"),
        help="of the emulator; %(default)s unless given",
    )
    parser.add_argument("--seconds", type=float, help="training time; overrides --steps")
    parser.add_argument("--steps", type=int, default=4000, help="of the optimiser; %(default)s unless given")
    parser.add_argument("--batch", type=int, default=8, help="rollouts per step; %(default)s unless given")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="at its highest; %(default)s unless given")
    parser.add_argument("--weight-decay", type=float, default=0.01, help="of AdamW and Muon; %(default)s unless given")
    parser.add_argument("--embed", type=int, default=72, help="channels of the network; %(default)s unless given")
    parser.add_argument("--layers", type=int, default=8, help="spectral blocks; %(default)s unless given")
    parser.add_argument("--rollouts", default="0:1,0.65:2,0.85:4", help="fraction done : steps, comma-separated")
    parser.add_argument("--own-share", type=float, help="probability of a batch from --data rather than --extra")
    parser.add_argument("--season-from-extra", action="store_true", help="--data covers a part of the year only")
    parser.add_argument("--gradients", action="store_true", help="gradients and what they do to the wind as inputs")
    parser.add_argument("--slopes", type=int, default=0, help="fields per block whose slopes the network takes itself")
    parser.add_argument("--attractor", action="store_true", help="keep each forecast on the attractor of the climate")
    parser.add_argument("--of-degrees", type=float, default=0.0, help="weight of the relative error of every degree")
    parser.add_argument("--noise", type=float, default=0.0, help="on the start, as a share of a six-hourly change")
    parser.add_argument("--select-days", type=float, default=0.0, help="free run at each validation, for the choice")
    parser.add_argument("--validations", type=int, default=8, help="how often on the way")
    parser.add_argument(
        "--insolation",
        choices=["daily", "instantaneous"],
        default="daily",
        help="mean of the day, or of the hour; %(default)s unless given",
    )
    parser.add_argument("--no-advection", action="store_true", help="the published inputs only")
    parser.add_argument("--float32", action="store_true", help="no mixed precision, which suits older CPUs")
    parser.add_argument("--device", default="cpu", help="where the network is trained: cpu, cuda, cuda:1 ...")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves the choice to torch")
    parser.add_argument("--seed", type=int, default=0, help="of all random draws; %(default)s unless given")


def run(args: argparse.Namespace) -> int:
    """Train, print the table of scores, return the exit code."""
    import torch

    from dacycle.cycler.training.device import training_device
    from dacycle.cycler.training.emulator import EmulatorSettings, train_emulator

    if args.threads:
        torch.set_num_threads(args.threads)
    device = str(training_device(args.device))
    shape = (args.grid[0], args.grid[1])

    def read(locations: list[str]) -> list[EmulatorData]:
        return [read_dataset(open_dataset(where, shape), DEFAULT_CHANNELS, shape) for where in locations]

    parts = read(args.data)
    if args.validation:
        validation = join(read(args.validation))
    else:
        parts[-1], validation = split_tail(parts[-1], args.validation_days, args.gap_days)
    extra = [join(read(args.extra))] if args.extra else []
    network = LucieArguments(
        args.embed,
        args.layers,
        args.insolation,
        advection=not args.no_advection,
        gradients=args.gradients,
        slopes=args.slopes,
        attractor=args.attractor,
    )
    pairs = [part.split(":") for part in args.rollouts.split(",")]
    settings = replace(
        EmulatorSettings(),
        network=network,
        steps=args.steps,
        seconds=args.seconds,
        batch=args.batch,
        learning_rate=args.learning_rate,
        weight_decay=args.weight_decay,
        bfloat16=not args.float32,
        of_degrees=args.of_degrees,
        noise=args.noise,
        select_days=args.select_days,
        validations=args.validations,
        device=device,
        own_share=args.own_share,
        season_from_second=args.season_from_extra,
        rollouts=tuple((float(since), int(steps)) for since, steps in pairs),
        seed=args.seed,
    )
    scores = train_emulator(
        [join(parts), *extra], settings, args.out, one_line, validation=validation, initial=args.initial
    )
    if scores is not None:
        print(
            f"RMSE (of persistence) and climatology, states from {validation.times[0]:%Y-%m-%d} on:\n{scores.table()}"
        )
    return 0
