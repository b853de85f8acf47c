"""``dacycle catalogue``: which products there are, where they lie, whether they are whole, and which old ones go."""

import argparse
import json
from bisect import bisect
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from dacycle.cycler.arguments import add_period, analysis_time
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import format_time
from dacycle.cycler.products.catalogue import Entry, Status
from dacycle.errors import DacycleError

__all__ = ["add_arguments", "run"]

EVERYTHING: tuple[Status, ...] = ("valid", "superseded", "removed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``dacycle catalogue``."""
    commands = parser.add_subparsers(metavar="WHAT", required=True, dest="what")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        told = "the TOML file; without it the defaults and the environment count"
        command.add_argument("--config", type=Path, metavar="FILE", help=told)
        return command

    for name, text in (
        ("list", "products, oldest first"),
        ("check", "compare every file of the valid products with its hash; exit code 1 if one differs"),
    ):
        command = add(name, text)
        add_period(command, required=False)
        command.add_argument("--stream", choices=["delayed", "early"], help="only this one")
        if name == "list":
            command.add_argument("--all", action="store_true", help="superseded and removed ones, too")
            command.add_argument("--json", action="store_true", help="as JSON")
    find = add("find", "print the paths of the files of one analysis time")
    find.add_argument("time", type=analysis_time, metavar="TIME", help="analysis time, as 2005-08-26T00 (UTC)")
    find.add_argument("--stream", choices=["delayed", "early"], default="delayed", help="default: delayed")
    find.add_argument("--revision", type=int, help="a superseded one; default: the valid one")
    retire = add("retire", "remove what [products] retention_days lets go of, as the daemon does by itself")
    retire.add_argument("--dry-run", action="store_true", help="only say what would go, and why it is not more")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 where ``check`` found something wrong."""
    from dacycle.cycler.config_file import load_config

    config = load_config(args.config)
    if args.what == "retire":
        from dacycle.cycler.cycle.ledger import Ledger
        from dacycle.cycler.cycle.lock import exclusive
        from dacycle.cycler.cycle.retention import retention, retention_lines, retire

        now = datetime.now(UTC).replace(microsecond=0)
        if args.dry_run:
            with History.read(config.paths.state) as history:
                chosen = retention(history, config, now)
            told = retention_lines(chosen)
        else:
            with exclusive(config.paths.state), Ledger.open(config.paths.state) as ledger:
                chosen = retention(ledger, config, now)
                told = retention_lines(chosen)
                retire(ledger, config, now)
        print("\n".join(told))
        return 0
    with History.read(config.paths.state) as history:
        if args.what == "find":
            print("\n".join(map(str, _paths(history, config.paths.state, args))))
            return 0
        statuses: Iterable[Status] = EVERYTHING if args.what == "list" and args.all else ("valid",)
        entries = history.products(args.start, args.end, args.stream, statuses)
    if args.what == "check":
        return _check(config.paths.state, entries)
    if args.json:
        print(json.dumps([_json(entry) for entry in entries]))
    else:
        print("\n".join(_lines(entries)))
    return 0


def _paths(history: History, state: Path, args: argparse.Namespace) -> list[Path]:
    found = history.products(args.time, args.time, args.stream, EVERYTHING)
    wanted = [e for e in found if (e.status == "valid" if args.revision is None else e.revision == args.revision)]
    label = f"{args.time:%Y-%m-%dT%H} {args.stream}"
    if not wanted:
        known = ", ".join(f"revision {e.revision} {e.status}" for e in found)
        told = f"it knows: {known}" if known else _near(history, args)
        raise DacycleError(f"the catalogue has no such products of {label}; {told}")
    if wanted[0].status == "removed":
        raise DacycleError(f"revision {wanted[0].revision} of {label} was removed")
    return [state / wanted[0].folder / name for name in (*sorted(wanted[0].files), "manifest.json")]


def _near(history: History, args: argparse.Namespace) -> str:
    """The times around one that there are products of."""
    times = sorted({entry.time for entry in history.products(stream=args.stream)})
    at = bisect(times, args.time)
    near = times[max(at - 1, 0) : at + 1]
    if not near:
        return f"it has none of the {args.stream} stream at all"
    return f"the nearest that it has: {' and '.join(f'{time:%Y-%m-%dT%H}' for time in near)}"


def _check(state: Path, entries: list[Entry]) -> int:
    from dacycle.cycler.products.manifest import verify

    problems = [problem for entry in entries for problem in verify(state / entry.folder)]
    size = sum(entry.bytes for entry in entries)
    print("\n".join([*problems, f"{len(entries)} product folders, {size / 1e6:.0f} MB, {len(problems)} problems"]))
    return 1 if problems else 0


def _json(entry: Entry) -> dict[str, object]:
    return {**vars(entry), "time": format_time(entry.time), "bytes": entry.bytes}


def _lines(entries: list[Entry]) -> list[str]:
    rows = [("cycle", "stream", "revision", "status", "kind", "members", "method", "bundle", "files", "MB", "folder")]
    for e in entries:
        size, count = f"{e.bytes / 1e6:.1f}", str(len(e.files))
        what = (e.stream, str(e.revision), e.status, e.kind, str(e.members), e.method, e.bundle)
        rows.append((f"{e.time:%Y-%m-%dT%H}", *what, count, size, e.folder))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
