"""What runs that did the same work have in common: all products, and the ledger but for clocks and counters."""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from dacycle.cycler.config import Config

__all__ = ["outcome"]

CLOCK_COLUMNS = ("_at", "seconds", "attempt", "attempts")


def outcome(chosen: Config) -> dict[str, Any]:
    """Hashes of all product files but the manifest's clock, and the ledger without clock and counters of attempts."""
    state = chosen.paths.state
    hashes = {}
    for path in sorted((state / "products").rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name == "manifest.json":
                manifest = json.loads(content)
                manifest.pop("runtime")
                content = json.dumps(manifest).encode()
            hashes[str(path.relative_to(state))] = hashlib.sha256(content).hexdigest()
    leftovers = sorted(
        str(p.relative_to(state)) for p in state.rglob("*") if p.name.startswith(".") or "chunk" in p.name
    )
    return {"products": hashes, "ledger": ledger(state / "ledger.sqlite"), "leftovers": leftovers}


def ledger(path: Path) -> dict[str, list[list[object]]]:
    """Every table but log and lease, sorted, without the columns that are documented to hold clocks and counters."""
    tables: dict[str, list[list[object]]] = {}
    with sqlite3.connect(path) as db:
        for (table,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('events', 'lease')"
        ).fetchall():
            rows = db.execute(f"SELECT * FROM {table}" + (" WHERE key != 'source_seen'" if table == "notes" else ""))
            names = [column[0] for column in rows.description]
            kept = [k for k, name in enumerate(names) if not name.endswith(CLOCK_COLUMNS)]
            tables[table] = sorted(([row[k] for k in kept] for row in rows), key=str)
    return tables
