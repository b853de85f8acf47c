"""Months of cycles at accelerated time, with faults from a seeded list, and an account of them at the end.

Usage: soak.py FOLDER [--days 120] [--seed 0] [--bundle DIR]. The clock moves six hours at every waking of the real
worker; soundings, ledger and files are real, the networks run on a tiny grid. One process at a time is the
daemon; when a fault of the list kills it, the next one takes over. It prints what every process measured and the
account as JSON, and fails where something is unaccounted for. An interrupted soak goes on with the same command.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from tests.faults.soak_faults import Fault, schedule

STEP = timedelta(hours=6)
QUIET_DAYS = 16
"""At the end, without faults: what is still owed then is owed too long."""
WARM_UP = 40  # wakings
MOST_GROWTH = 0.05
MOST_LEDGER = 100_000
"""Bytes a delayed cycle, as docs/operations.md says; in the first month, station histories weigh more."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet-days", type=int, default=QUIET_DAYS, help="without faults, at the end")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--life", type=int, help="the first step of one process (used by the program itself)")
    args = parser.parse_args()
    if args.life is not None:
        from tests.faults.soak_life import live

        live(args.folder, args.bundle, schedule(args.seed, steps_of(args.days - args.quiet_days)), args.days, args.life)
        return 0
    args.folder.mkdir(parents=True, exist_ok=True)
    bundle = args.bundle or _bundle(args.folder / "bundle")
    report = soak(args.folder, bundle, args.days, args.seed, args.quiet_days)
    print(json.dumps(report, indent=1))
    return 0 if not report["problems"] else 1


def soak(folder: Path, bundle: Path, days: int, seed: int, quiet_days: int = QUIET_DAYS) -> dict[str, Any]:
    """Run it all; what was measured, and ``problems``: what ought not to be."""
    steps = steps_of(days)
    log = folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    step = lines[-1]["step"] + 1 if lines else 0  # one that was interrupted goes on
    while step < steps:
        command = [sys.executable, "-m", "tests.faults.soak", str(folder), "--bundle", str(bundle)]
        command += ["--seed", str(seed), "--days", str(days), "--quiet-days", str(quiet_days), "--life", str(step)]
        code = subprocess.run(command, check=False, stdout=sys.stderr).returncode
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        if code not in (0, -signal.SIGKILL):
            return {"problems": [f"a process ended with {code} after step {lines[-1]['step'] if lines else 0}"]}
        step = lines[-1]["step"] + 1 if lines else 0
        if code == -signal.SIGKILL:
            step += 1  # the fault killed it in the step after the last that it noted; the next process sees the time on
    return account(folder, bundle, lines, schedule(seed, steps_of(days - quiet_days)), days)


def steps_of(days: int) -> int:
    return days * 4


def account(folder: Path, bundle: Path, lines: list[dict[str, Any]], faults: list[Fault], days: int) -> dict[str, Any]:
    """Every owed cycle, every file, and what the processes used."""
    from dacycle.cycler.cycle.history import History
    from dacycle.cycler.cycle.states import ACTIVE, PUBLISHED, State, Stream
    from dacycle.cycler.products.folders import product_folder
    from dacycle.cycler.products.manifest import verify
    from tests.cycle.small_world import START
    from tests.faults.soak_life import configured

    chosen = configured(folder, bundle)
    state, end = chosen.paths.state, START + STEP * steps_of(days)
    problems = []
    with History.read(state) as history:
        known = history.cycles(Stream.DELAYED, superseded=True)
        by_time: dict[datetime, list[State]] = {}
        for record in known:
            by_time.setdefault(record.time, []).append(record.state)
        time = START
        while time <= end - timedelta(hours=chosen.cycle.cutoff_max_hours) - chosen.interval:
            states = by_time.get(time, [])
            ends = [s for s in states if s in PUBLISHED or s == State.EXPIRED]
            if len(ends) != 1 or set(states) - set(ends) - {State.SUPERSEDED}:
                problems.append(f"{time:%Y-%m-%dT%H}: {[str(s) for s in states]}")
            time += chosen.interval
        kept = [r for r in known if r.state in PUBLISHED and r.time > end - timedelta(days=15)]
        for record in kept:
            wrong = verify(product_folder(state, record.time, "delayed"))
            problems += [f"{record.label}: {each}" for each in wrong]
        problems += [f"{r.label} is {r.state}" for r in history.in_states(ACTIVE)]
        outcomes = {f"{stream} {outcome}": n for (stream, outcome), n in sorted(history.outcomes().items())}
        cycles = len({r.time for r in known})
    work = len(list((state / "work").iterdir()))
    if work > 100:
        problems.append(f"{work} folders of work are left")
    lives = [_life(life) for life in _lives(lines)]
    for life in lives:
        if life["growth"] is not None and life["growth"] > MOST_GROWTH:
            problems.append(f"memory grew by {life['growth']:.1%} in {life['wakings']} wakings")
        if life["fds"][1] > life["fds"][0]:
            problems.append(f"file descriptors grew from {life['fds'][0]} to {life['fds'][1]}")
    ledger = lines[-1]["ledger"]
    if days > 60 and ledger > MOST_LEDGER * cycles:
        problems.append(f"the ledger has {ledger} bytes after {cycles} delayed cycles")
    return {
        "days": days,
        "faults": {kind: sum(f.kind == kind for f in faults) for kind in sorted({f.kind for f in faults})},
        "delayed cycles": cycles,
        "outcomes": outcomes,
        "ledger bytes": ledger,
        "ledger bytes per delayed cycle": round(ledger / max(cycles, 1)),
        "processes": lives,
        "problems": problems,
    }


def _lives(lines: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    lives: dict[int, list[dict[str, Any]]] = {}
    for line in lines:
        lives.setdefault(line["pid"], []).append(line)
    return list(lives.values())


def _life(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over a tenth of the wakings after the warm-up, at its beginning and at its end."""
    warm = lines[WARM_UP:]
    part = max(len(warm) // 10, 1)
    measured = len(warm) >= 80
    first, last = ([line["rss"] for line in piece] for piece in (warm[:part], warm[-part:]))
    fds = [line["fds"] for line in (warm if measured else lines)]
    return {
        "wakings": len(lines),
        "rss MB": [round(median(first) / 1e6), round(median(last) / 1e6)] if measured else None,
        "growth": median(last) / median(first) - 1 if measured else None,
        "fds": [max(fds[: max(len(fds) // 2, 1)]), max(fds[len(fds) // 2 :])],
    }


def _bundle(folder: Path) -> Path:
    from tests.conftest import write_tiny_bundle

    if not folder.exists():
        write_tiny_bundle(folder)
    return folder


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
