"""The ledger's tables of version 1, and how to connect to them; ``migrations.py`` has what came later.

Columns that end in ``_at``, ``seconds`` and ``attempt`` or ``attempts`` are wall-clock times and counters, ``events``
is a log, and ``lease`` says who writes: two runs that did the same work differ in nothing else. Times are text,
``2005-08-26T00:00:00Z``.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dacycle.cycler.cycle.migrations import STEPS, upgrade
from dacycle.errors import StateError

__all__ = ["VERSION", "connect_asker", "connect_reader", "connect_writer", "ledger_errors"]

VERSION = 1 + len(STEPS)

TABLES = """
CREATE TABLE cycles (
    id INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    stream TEXT NOT NULL CHECK (stream IN ('delayed', 'early')),
    version INTEGER NOT NULL,               -- counts reruns; the highest is the one that is valid
    state TEXT NOT NULL,
    background TEXT NOT NULL DEFAULT 'none' CHECK (background IN ('forecast', 'none')),
    base INTEGER REFERENCES cycles(id),     -- the cycle whose analysis the background started from
    reason TEXT NOT NULL DEFAULT '',        -- why it waits, failed, expired or was superseded
    held INTEGER NOT NULL DEFAULT 0,        -- an operator said: not yet
    inputs TEXT NOT NULL DEFAULT '',        -- digest of the soundings it saw
    settings TEXT NOT NULL DEFAULT '',      -- digest of what decides its bytes besides them
    soundings_received INTEGER NOT NULL DEFAULT 0,
    soundings_used INTEGER NOT NULL DEFAULT 0,
    soundings_withheld INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    failed_attempts INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    published_at TEXT,
    UNIQUE (time, stream, version)
);
CREATE INDEX cycles_by_state ON cycles (stream, state, time);
CREATE TABLE stages (
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    attempt INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    seconds REAL,
    PRIMARY KEY (cycle, stage)
);
CREATE TABLE artefacts (
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,                     -- below the state directory
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (cycle, name)
);
CREATE TABLE value_counts (                 -- status: 'used', 'withheld', or the reason of a rejection
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    status TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (cycle, channel, status)
);
CREATE TABLE departures (                   -- over the used values, in the channel's units
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('omb', 'oma')),
    channel TEXT NOT NULL,
    n INTEGER NOT NULL,
    bias REAL,
    rms REAL,
    PRIMARY KEY (cycle, kind, channel)
);
CREATE TABLE spread_skill (
    cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    ratio REAL,
    PRIMARY KEY (cycle, channel)
);
CREATE TABLE tally (                        -- how often cycles came to an end, each time counted
    stream TEXT NOT NULL,
    outcome TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (stream, outcome)
);
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
    cycle INTEGER REFERENCES cycles(id) ON DELETE SET NULL,
    text TEXT NOT NULL
);
"""


@contextmanager
def ledger_errors(path: Path) -> Iterator[None]:
    """SQLite's errors as one line that says which ledger and what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StateError(
            f"ledger {path}: {error}; is the state directory writable, on a local disk, not full?"
        ) from error
    except sqlite3.DatabaseError as error:
        hint = "stop dacycle, then `dacycle repair` goes back to its last good copy and loses nothing"
        raise StateError(f"ledger {path} is damaged: {error}; {hint}") from error


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes; creates the tables in a new file."""
    with ledger_errors(path):
        connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        version = _version(connection, path)
        if version == 0:
            script = f"BEGIN IMMEDIATE; {TABLES} {''.join(STEPS)} PRAGMA user_version = {VERSION}; COMMIT;"
            connection.executescript(script)
        else:
            upgrade(connection, path, version)
        return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write and that the writer never waits for; StateError where there is no ledger."""
    return _connect_existing(path, "ro")


def connect_asker(path: Path) -> sqlite3.Connection:
    """For a process that is not the writer and enters a request; StateError where there is no ledger."""
    return _connect_existing(path, "rw")


def require_ledger(path: Path) -> None:
    """StateError where no ledger is: commands that are about cycles begin none."""
    if not path.is_file():
        told = "nothing has run with this state directory yet; is [paths] state (or DACYCLE_PATHS__STATE) the daemon's?"
        raise StateError(f"no ledger at {path.absolute()}: {told}")


def _connect_existing(path: Path, mode: str) -> sqlite3.Connection:
    require_ledger(path)
    with ledger_errors(path):
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, timeout=5.0, isolation_level=None, uri=True)
        connection.row_factory = sqlite3.Row
        version = _version(connection, path)
        if version == 0:
            raise StateError(f"no ledger at {path}: the file has no tables yet")
        if version < VERSION:
            raise StateError(f"ledger {path} has version {version}: any command that writes brings it to {VERSION}")
        return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > VERSION:
        raise StateError(f"ledger {path} has version {found}; this program knows {VERSION}: install the newer one")
    return found
