"""``dacycle repair``: a damaged ledger goes aside, and the last good copy takes its place.

The daemon copies the ledger once a day. What came after the copy is owed again and made again: the same soundings give
the same bytes, so products that are there already stay as they are. Without a good copy the ledger begins anew, and
the products stay.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import LEDGER_NAME
from dacycle.cycler.cycle.ledger import BACKUP_NAME, Ledger
from dacycle.cycler.cycle.lock import exclusive
from dacycle.cycler.cycle.states import PUBLISHED, Stage, Stream
from dacycle.cycler.cycle.task import INITIAL
from dacycle.cycler.cycle.workspace import Kept
from dacycle.cycler.products.atomic import flush, write_atomically

__all__ = ["damage", "repair"]


def damage(path: Path) -> str | None:
    """What is wrong with a ledger's file; None where it is whole."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
            if not connection.execute("PRAGMA user_version").fetchone()[0]:
                return "it has no tables"
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else found


def repair(config: Config, now: datetime) -> Iterator[str]:
    """Do it, and tell each step; nothing is changed where the ledger is whole, and nothing is deleted."""
    state = config.paths.state
    with exclusive(state):
        path, copy = state / LEDGER_NAME, state / BACKUP_NAME
        found = damage(path) if path.is_file() else "it is gone"
        if found is None:
            yield f"{path} is whole: nothing to repair"
            return
        yield f"{path}: {found}"
        aside = state / f"ledger.damaged-{now:%Y%m%dT%H%M%SZ}.sqlite"
        for suffix in ("", "-wal", "-shm"):
            old = Path(f"{path}{suffix}")
            if old.is_file():
                old.rename(f"{aside}{suffix}")
        flush(state)
        yield f"what is left of it is kept as {aside}"
        if copy.is_file() and damage(copy) is None:
            write_atomically(path, lambda temporary: _copy(copy, temporary))
            yield f"{copy} takes its place: what came after it is owed again, and gives the same products"
        else:
            yield f"there is no good copy in {copy}: cycling begins anew, as in a new state directory; products stay"
        with Ledger.open(state) as ledger:
            yield from _owe_what_is_gone(state, ledger)
            ledger.tell("the ledger was damaged and repaired", now, "warning")


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _owe_what_is_gone(state: Path, ledger: Ledger) -> Iterator[str]:
    """Cycles that the copy calls published, but whose files a later version, which it does not know, has replaced."""
    from dacycle.cycler.cycle.reruns import mark

    newest = ledger.newest_published(Stream.DELAYED)
    for record in [] if newest is None else ledger.cycles(Stream.DELAYED):
        kept = Kept(state, ledger, record)
        if record.state in PUBLISHED and kept.sha256(INITIAL) and not kept.has(INITIAL):
            mark(ledger, record, Stage.INGEST, "its files are gone since the ledger's copy was made")
            yield f"{record.label} is run again: its files are gone since the copy was made"
