"""How the ledger's tables grew: one step per change, applied in order to older files, with a backup first.

The tables of version 1 (``schema.TABLES``) never change; a new ledger is version 1 plus every step, so that the path
that an upgrade takes is the one that every new file takes too. Append a step, never edit one that was released.
"""

import sqlite3
from pathlib import Path

from dacycle.errors import StateError

__all__ = ["STEPS", "backup_path", "upgrade"]

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE station_history (              -- what each station gave to a delayed cycle; kept for two months
        cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
        station TEXT NOT NULL,
        lat REAL,                               -- of its last sounding, NULL where that told no position
        lon REAL,
        received INTEGER NOT NULL,              -- soundings
        used INTEGER NOT NULL,                  -- values, as the next two
        withheld INTEGER NOT NULL,
        rejected INTEGER NOT NULL,
        PRIMARY KEY (cycle, station)
    ) WITHOUT ROWID;
    CREATE TABLE station_departures (           -- in units of the expected error
        cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
        station TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('omb', 'oma')),
        variable TEXT NOT NULL,                 -- t, u, v, q, z, sp over all levels
        n INTEGER NOT NULL,
        mean REAL NOT NULL,
        square REAL NOT NULL,                   -- mean square
        PRIMARY KEY (cycle, station, kind, variable)
    ) WITHOUT ROWID;
    CREATE TABLE blacklist (                    -- decided from the departures before 'since'; ends at 'until'
        station TEXT NOT NULL,
        variable TEXT NOT NULL,
        since TEXT NOT NULL,
        until TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (station, variable, since)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE products (                     -- the catalogue: one row per published revision
        time TEXT NOT NULL,
        stream TEXT NOT NULL CHECK (stream IN ('delayed', 'early')),
        revision INTEGER NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('valid', 'superseded', 'removed')),
        kind TEXT NOT NULL CHECK (kind IN ('analysis', 'forecast')),
        folder TEXT NOT NULL,                   -- below the state directory
        files TEXT NOT NULL,                    -- JSON: name -> bytes
        members INTEGER NOT NULL,
        background TEXT NOT NULL,
        method TEXT NOT NULL,
        bundle TEXT NOT NULL,
        world TEXT NOT NULL,
        PRIMARY KEY (time, stream, revision)
    );
    """,
    """
    CREATE TABLE requests (                     -- what operators asked for; done_at: when the writer answered
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('hold', 'release', 'skip', 'rerun')),
        time TEXT NOT NULL,
        stage TEXT NOT NULL DEFAULT '',
        by TEXT NOT NULL DEFAULT '',
        asked_at TEXT NOT NULL,
        done_at TEXT,
        answer TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE reruns (                       -- delayed cycles to run again; owed until a newer version is published
        cycle INTEGER PRIMARY KEY REFERENCES cycles(id) ON DELETE CASCADE,
        stage TEXT NOT NULL,
        reason TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('owed', 'given_up'))
    );
    CREATE TABLE late (                         -- soundings that came, or changed, after a cycle was published
        cycle INTEGER PRIMARY KEY REFERENCES cycles(id) ON DELETE CASCADE,
        new INTEGER NOT NULL,
        revised INTEGER NOT NULL,
        seen_at TEXT NOT NULL
    );
    CREATE TABLE lease (                        -- who leads, in one row; epoch counts leaders, beats their life signs
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL,
        holder TEXT NOT NULL,
        machine TEXT NOT NULL,
        beats INTEGER NOT NULL
    );
    """,
    """
    CREATE TABLE rank_histograms (              -- of the used values among the background's members
        cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
        channel TEXT NOT NULL,
        counts TEXT NOT NULL,                   -- JSON list, rank 0 to the number of members
        PRIMARY KEY (cycle, channel)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE covariances (                  -- factors of variances that a cycle's innovations led to, and its bias
        cycle INTEGER NOT NULL REFERENCES cycles(id) ON DELETE CASCADE,
        kind TEXT NOT NULL,                     -- observation, forecast, climate, bias, desroziers
        key TEXT NOT NULL,                      -- channel; for bias with the degree, as t850:0
        value REAL NOT NULL,
        PRIMARY KEY (cycle, kind, key)
    );
    CREATE TABLE adaptations (                  -- JSON of all that the next cycle starts from
        cycle INTEGER PRIMARY KEY REFERENCES cycles(id) ON DELETE CASCADE,
        state TEXT NOT NULL
    );
    """,
)
"""SQL that makes version n + 2 of version n + 1 (n: the step's index)."""


def backup_path(path: Path, version: int) -> Path:
    """Where the ledger is kept as it was before it was upgraded from that version."""
    return path.with_name(f"{path.stem}.v{version}{path.suffix}")


def upgrade(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Bring an older ledger to the present version, all steps or none, after copying it to ``backup_path``."""
    if version == 1 + len(STEPS):
        return
    backup = backup_path(path, version)
    try:
        with sqlite3.connect(backup) as copy:
            connection.backup(copy)
        copy.close()
    except sqlite3.Error as error:
        raise StateError(f"{backup}: the ledger cannot be backed up before its upgrade: {error}; make room") from error
    steps = "".join(STEPS[version - 1 :])
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {1 + len(STEPS)}; COMMIT;")
    except sqlite3.Error:
        connection.rollback()
        raise
