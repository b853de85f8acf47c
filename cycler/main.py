"""The command line. Exit codes: 0 done, 1 an expected failure told in one line, 2 wrong usage.

Every command imports what it needs when it runs, so that ``dacycle status`` and ``--help`` start no torch.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from dacycle.cycler.allocator import keep_freed_memory
from dacycle.cycler.arguments import add_period, analysis_time
from dacycle.cycler.overview import overview
from dacycle.cycler.waiting import wait_briefly
from dacycle.errors import DacycleError

__all__ = ["main"]

Handler = Callable[[argparse.Namespace], int | None]

ELSEWHERE = {
    "demo": (
        "dacycle.cycler.experiments.demo",
        "offline: bundled soundings and models, the real cycle, a table of scores",
    ),
    "catalogue": ("dacycle.cycler.cycle.catalogue_command", "list, find, check and retire products"),
    "export": ("dacycle.cycler.cycle.export_command", "products of a period and a region as one file"),
    "osse": ("dacycle.cycler.experiments.osse", "observing-system simulation experiment: the table of methods"),
    "folds": (
        "dacycle.cycler.experiments.folds",
        "a first analysis of one hour, each station withheld once, next to plain interpolation",
    ),
    "simulate": ("dacycle.cycler.training.simulate_command", "run the nature model that bundles are trained on"),
    "bundle": ("dacycle.cycler.training.bundle_command", "put a model bundle together"),
}
TRAINING = {
    "prior": ("dacycle.cycler.training.prior_command", "train the diffusion prior"),
    "emulator": ("dacycle.cycler.training.emulator_command", "train the emulator"),
    "fluctuations": (
        "dacycle.cycler.training.fluctuations_command",
        "find what a free run of the emulator must be given of the small scales",
    ),
    "average": (
        "dacycle.cycler.training.average_command",
        "take the mean of a bundle's network and of one trained further from it",
    ),
    "response": (
        "dacycle.cycler.training.response_command",
        "find how far a bundle's denoiser is to be believed, degree by degree",
    ),
    "sizes": (
        "dacycle.cycler.training.sizes_command",
        "measure how large a climate's anomalies are at small scales and by season",
    ),
    "local-errors": (
        "dacycle.cycler.training.local_errors_command",
        "measure where forecasts are wrong, by what their members' spread says",
    ),
    "spread": (
        "dacycle.cycler.training.spread_command",
        "measure what a bundle's analyses lack in spread, by latitude",
    ),
    "evaluate-emulator": (
        "dacycle.cycler.training.evaluate_emulator",
        "score the emulator: forecasts and a free run",
    ),
    "evaluate-prior": ("dacycle.cycler.training.evaluate_prior", "score the prior: error, samples, super-resolution"),
}
"""Commands whose modules bring ``add_arguments(parser)`` and ``run(args) -> int | None``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the process's exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(given)
    args = parser.parse_args(given)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    keep_freed_memory()
    wait_briefly()
    try:
        return args.handler(args) or 0
    except DacycleError as error:
        print(f"dacycle: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dacycle: stopped; the same command continues where it stopped", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _stop(number: int, frame: FrameType | None) -> None:
    from dacycle.cycler.cycle.watching import interrupted

    interrupted.set()
    raise KeyboardInterrupt


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dacycle",
        description="An operational, cycling data-assimilation daemon.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dacycle {version('dacycle')}")
    told = "one of those below; `dacycle COMMAND --help` says more"
    commands = parser.add_subparsers(metavar="COMMAND", required=True, help=told)

    def add(name: str, handler: Handler, text: str, config: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, description=text)
        command.set_defaults(handler=handler)
        if config:
            told = "the TOML file; without it the defaults and the environment count"
            command.add_argument("--config", type=Path, metavar="FILE", help=told)
        return command

    add("run", _run, "the daemon, in the foreground")
    cycle = add("cycle", _cycle, "one cycle now")
    cycle.add_argument("time", type=analysis_time, metavar="TIME", help="analysis time, as 2005-08-26T00 (UTC)")
    told = "the early stream up to TIME, from the newest delayed analysis before it, with what has arrived"
    cycle.add_argument("--early", action="store_true", help=told)
    for name, handler, text in (
        ("backfill", _backfill, "all cycles of a period, in order"),
        ("verify", _verify, "scores: withheld stations, gridded truth, rank histograms"),
    ):
        command = add(name, handler, text)
        add_period(command)
        if name == "verify":
            command.add_argument("--truth", type=Path, metavar="FILE", help="netCDF file with the true fields")
            command.add_argument("--json", action="store_true", help="as JSON")
    for name, text in (
        ("hold", "let the delayed cycle of TIME, and those after it, wait"),
        ("release", "let a held cycle go on"),
        ("skip", "give up the delayed cycle of TIME; the next one starts from a longer forecast"),
        ("rerun", "run the delayed cycle of TIME again, and all that grew on it; the old products are kept"),
    ):
        command = add(name, _intervene, text)
        command.set_defaults(kind=name, stage=None)
        command.add_argument("time", type=analysis_time, metavar="TIME", help="analysis time, as 2005-08-26T00 (UTC)")
        if name == "rerun":
            told = "keep what the stages before it made"
            command.add_argument("--from", dest="stage", choices=["ingest", "forecast", "assimilate"], help=told)
    add("status", _status, "what the ledger says").add_argument("--json", action="store_true", help="as JSON")
    add("doctor", _doctor, "check configuration, models, source, disk and clock, and say how to mend what is wrong")
    add("repair", _repair, "put the last good copy of a damaged ledger in its place; nothing is deleted")
    config = add("config", _config, "describe the configuration", config=False)
    config.add_argument("what", choices=["schema", "default"], help="JSON schema, or a commented file of defaults")
    train = commands.add_parser("train", description="train a part of a model bundle")
    _elsewhere(train.add_subparsers(metavar="PART", required=True), TRAINING, given[1:], listed=True)
    _elsewhere(commands, ELSEWHERE, given)
    parser.epilog = overview({name: command.description or "" for name, command in commands.choices.items()})
    return parser


def _elsewhere(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    modules: dict[str, tuple[str, str]],
    given: Sequence[str],
    listed: bool = False,
) -> None:
    """Commands that a module of their own describes; it is imported for the one that was asked for."""
    for name, (module, text) in modules.items():
        add = partial(commands.add_parser, help=text) if listed else commands.add_parser
        command = add(name, description=text)
        if given and given[0] == name:
            found = importlib.import_module(module)
            found.add_arguments(command)
            command.set_defaults(handler=found.run)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _run(args: argparse.Namespace) -> int:
    from dacycle.cycler.service.daemon import run

    return run(args.config)


def _cycle(args: argparse.Namespace) -> None:
    from dacycle.cycler.config_file import load_config
    from dacycle.cycler.cycle.commands import cycle

    cycle(load_config(args.config), args.time, args.early, _now())


def _backfill(args: argparse.Namespace) -> None:
    from dacycle.cycler.config_file import load_config
    from dacycle.cycler.cycle.commands import backfill

    backfill(load_config(args.config), args.start, args.end, _now())


def _intervene(args: argparse.Namespace) -> None:
    from dacycle.cycler.config_file import load_config
    from dacycle.cycler.cycle.commands import intervene

    intervene(load_config(args.config), args.kind, args.time, args.stage, _now())


def _repair(args: argparse.Namespace) -> None:
    from dacycle.cycler.config_file import load_config
    from dacycle.cycler.cycle.repair import repair

    for line in repair(load_config(args.config), _now()):
        print(line, flush=True)


def _status(args: argparse.Namespace) -> None:
    from dacycle.cycler.config_file import load_config
    from dacycle.cycler.cycle.commands import status

    status(load_config(args.config), args.json, _now())


def _verify(args: argparse.Namespace) -> None:
    from dacycle.cycler.config_file import load_config
    from dacycle.cycler.cycle.verify import verify

    verify(load_config(args.config), args.start, args.end, args.truth, args.json)


def _doctor(args: argparse.Namespace) -> int:
    from dacycle.cycler.service.doctor import doctor

    return doctor(args.config, _now())


def _config(args: argparse.Namespace) -> None:
    from dacycle.cycler.config_text import default_toml, schema_json

    print(schema_json() if args.what == "schema" else default_toml())


if __name__ == "__main__":
    sys.exit(main())
