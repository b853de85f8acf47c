"""A ledger with a long history, written straight into its tables: quick, and with everything that the page draws."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.owed import FIRST, SOURCE_NEWEST, SOURCE_SEEN
from dacycle.cycler.cycle.records import format_time
from dacycle.cycler.cycle.states import Stage

__all__ = ["NEWEST", "NOW", "write_year"]

NOW = datetime(2021, 12, 31, 18, tzinfo=UTC)
NEWEST = datetime(2021, 12, 31, 12, tzinfo=UTC)
SCALES = {"t": 1.4, "u": 3.0, "v": 2.9, "q": 0.0009, "z": 14.0, "sp": 110.0}


def write_year(state: Path, days: int = 365, stations: int = 600) -> None:
    """Two cycles a day up to ``NOW``, a free forecast now and then; stations for the last 60 days."""
    rng = np.random.default_rng(0)
    with Ledger.open(state) as ledger:
        path = ledger.path
        ledger.set_note(FIRST, format_time(NEWEST - (2 * days - 1) * timedelta(hours=12)))
        ledger.set_note(SOURCE_NEWEST, format_time(NEWEST))
        ledger.set_note(SOURCE_SEEN, format_time(NOW - timedelta(minutes=3)))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN")
    places = [
        (float(a), float(b))
        for a, b in zip(rng.uniform(-75, 80, stations), rng.uniform(-180, 180, stations), strict=True)
    ]
    for k in range(2 * days):
        cycle, at = k + 1, format_time(NEWEST - (2 * days - 1 - k) * timedelta(hours=12))
        free = k % 97 == 40
        state_name = "published_free_forecast" if free else "published"
        db.execute(
            "INSERT INTO cycles (id, time, stream, version, state, background, soundings_received, soundings_used,"
            " attempts, created_at, changed_at, published_at)"
            " VALUES (?, ?, 'delayed', 1, ?, 'forecast', 700, ?, 1, ?, ?, ?)",
            (cycle, at, state_name, 0 if free else 690, at, at, at),
        )
        db.executemany(
            "INSERT INTO stages VALUES (?, ?, 'done', 1, ?, ?)",
            [(cycle, stage, at, float(rng.uniform(1, 20))) for stage in Stage],
        )
        text = f"{at[:13]} delayed published with {0 if free else 690} of 700 soundings"
        db.execute("INSERT INTO events (at, level, cycle, text) VALUES (?, 'info', ?, ?)", (at, cycle, text))
        if free:
            continue
        for c in DEFAULT_CHANNELS:
            scale, n = SCALES[c.variable], 600
            told = [("omb", 1.0, rng.normal(1, 0.1)), ("oma", 0.6, rng.normal(1, 0.1))]
            db.executemany(
                "INSERT INTO departures VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (cycle, kind, c.name, n, float(rng.normal(0, 0.1 * scale)), scale * f * float(x))
                    for kind, f, x in told
                ],
            )
            db.execute("INSERT INTO spread_skill VALUES (?, ?, ?)", (cycle, c.name, float(rng.normal(0.95, 0.08))))
            counts = rng.multinomial(n, np.ones(9) / 9).tolist()
            db.execute("INSERT INTO rank_histograms VALUES (?, ?, ?)", (cycle, c.name, json.dumps(counts)))
            db.executemany(
                "INSERT INTO value_counts VALUES (?, ?, ?, ?)",
                [(cycle, c.name, "used", n), (cycle, c.name, "background", 12), (cycle, c.name, "gross", 2)],
            )
        if k >= 2 * days - 120:
            rows = [(cycle, f"XXM{s:08d}", *places[s], 1, 14, 0, 1) for s in range(stations) if (s + k) % 9]
            db.executemany("INSERT INTO station_history VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.executemany(
                "INSERT INTO station_departures VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(cycle, row[1], kind, v, 3, 0.1, 1.0) for row in rows for kind in ("omb", "oma") for v in "tuvqz"],
            )
    db.execute("INSERT INTO tally VALUES ('delayed', 'published', ?)", (2 * days,))
    db.execute("COMMIT")
    db.close()
