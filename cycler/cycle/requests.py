"""What operators ask for: hold, release, skip, rerun. Any process may enter a request; the writer answers it."""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from dacycle.cycler.cycle.history import LEDGER_NAME, History
from dacycle.cycler.cycle.records import format_time, parse_time
from dacycle.cycler.cycle.schema import connect_asker, ledger_errors
from dacycle.cycler.cycle.states import Stage
from dacycle.errors import StateError

__all__ = ["FROM_STAGES", "REFUSED", "Kind", "Request", "ask", "check", "requests"]

Kind = Literal["hold", "release", "skip", "rerun"]

REFUSED = "refused: "
"""How the answer to a request begins that could not be carried out."""

FROM_STAGES = (Stage.INGEST, Stage.FORECAST, Stage.ASSIMILATE)
"""Where a rerun can begin: what later stages start from is let go once it is published."""


@dataclass(frozen=True)
class Request:
    """``stage``: where a rerun begins, None otherwise; ``done``: when it was answered, None while it waits."""

    id: int
    kind: Kind
    time: datetime
    stage: Stage | None
    by: str
    asked: datetime
    done: datetime | None
    answer: str


def ask(state: Path, kind: Kind, time: datetime, now: datetime, stage: str | None = None, by: str = "") -> int:
    """Enter a request and return its number; whoever writes the ledger answers it at its next waking.

    StateError where there is no ledger, or for a kind or stage that does not exist.
    """
    chosen = check(kind, stage)
    path = state / LEDGER_NAME
    with closing(connect_asker(path)) as connection, ledger_errors(path):
        connection.execute("PRAGMA synchronous = FULL")
        sql = "INSERT INTO requests (kind, time, stage, by, asked_at) VALUES (?, ?, ?, ?, ?)"
        cursor = connection.execute(sql, (kind, format_time(time), chosen or "", by, format_time(now)))
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def check(kind: str, stage: str | None = None) -> Stage | None:
    """The stage that a rerun begins with; StateError for a kind or a stage that cannot be asked for."""
    if kind not in get_args(Kind):
        raise StateError(f"unknown request {kind!r}: expected one of {', '.join(get_args(Kind))}")
    if kind != "rerun":
        if stage is not None:
            raise StateError(f"{kind} takes no stage, got {stage!r}: only a rerun begins at one")
        return None
    if stage is not None and stage not in FROM_STAGES:
        raise StateError(f"a rerun cannot begin with {stage!r}: expected one of {', '.join(FROM_STAGES)}")
    return Stage(stage) if stage is not None else Stage.INGEST


def requests(history: History, newest: int = 50, waiting: bool = False) -> list[Request]:
    """Requests, newest first; ``waiting``: only those without an answer, oldest first."""
    if waiting:
        rows = history.query("SELECT * FROM requests WHERE done_at IS NULL ORDER BY id")
    else:
        rows = history.query("SELECT * FROM requests ORDER BY id DESC LIMIT ?", newest)
    return [
        Request(
            id=row["id"],
            kind=row["kind"],
            time=parse_time(row["time"]),
            stage=Stage(row["stage"]) if row["stage"] else None,
            by=row["by"],
            asked=parse_time(row["asked_at"]),
            done=parse_time(row["done_at"]) if row["done_at"] else None,
            answer=row["answer"],
        )
        for row in rows
    ]
