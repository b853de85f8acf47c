"""Argument types that several commands share."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["add_period", "analysis_time"]


def add_period(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """START and END as ``start`` and ``end``; wrong usage where they are in the wrong order."""
    count = None if required else "?"
    told = "first analysis time, as 2005-08-26T00 (UTC)"
    parser.add_argument("start", type=analysis_time, nargs=count, metavar="START", help=told)
    told = "last analysis time"
    parser.add_argument("end", type=analysis_time, nargs=count, metavar="END", help=told, action=_End)


class _End(argparse.Action):
    """Keeps the end of a period, which is not before its start."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if isinstance(values, datetime) and values < namespace.start:
            told = f"expected START <= END, got {namespace.start:%Y-%m-%dT%H} > {values:%Y-%m-%dT%H}"
            raise argparse.ArgumentError(self, told)
        setattr(namespace, self.dest, values)


def analysis_time(text: str) -> datetime:
    """An analysis time in UTC, as 2005-08-26T00, with minutes, seconds and Z if one likes."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a time as 2005-08-26T00, got {text!r}") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
