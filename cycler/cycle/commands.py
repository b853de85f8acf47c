"""What ``dacycle cycle``, ``backfill``, ``status``, ``hold``, ``release``, ``skip`` and ``rerun`` do."""

import json
from datetime import datetime

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import LEDGER_NAME, History
from dacycle.cycler.cycle.lock import InUseError
from dacycle.cycler.cycle.possible import require_possible
from dacycle.cycler.cycle.records import CycleRecord
from dacycle.cycler.cycle.report import status_json
from dacycle.cycler.cycle.requests import REFUSED, Kind, ask, check
from dacycle.cycler.cycle.schema import require_ledger
from dacycle.cycler.cycle.states import PUBLISHED
from dacycle.cycler.cycle.status_text import status_lines
from dacycle.errors import DacycleError, StateError

__all__ = ["backfill", "cycle", "intervene", "status"]


def cycle(config: Config, time: datetime, early: bool, now: datetime) -> None:
    """One cycle now; ``early``: the early stream from the newest delayed analysis up to ``time`` instead."""
    from dacycle.cycler.cycle.early import run_early
    from dacycle.cycler.cycle.engine import open_engine
    from dacycle.cycler.cycle.watching import watching

    with watching() as observer, open_engine(config, now, observer) as engine:
        done = run_early(engine, time, now) if early else [engine.run(time, now)]
        engine.look(now)
    for record in done:
        _tell(config, record)


def backfill(config: Config, start: datetime, end: datetime, now: datetime) -> None:
    """All delayed cycles from ``start`` to ``end``, in order; those that are published already stay."""
    from dacycle.cycler.cycle.engine import open_engine
    from dacycle.cycler.cycle.watching import watching

    time, published = start, 0
    with watching() as observer, open_engine(config, now, observer) as engine:
        while time <= end:
            record = engine.run(time, now)
            published += record.state in PUBLISHED
            print(_line(record), flush=True)
            time += config.interval
        engine.look(now)
    if not published:
        raise DacycleError(
            f"no cycle from {start:%Y-%m-%dT%H} to {end:%Y-%m-%dT%H} could be published; see the lines above"
        )


def intervene(config: Config, kind: Kind, time: datetime, stage: str | None, now: datetime) -> None:
    """hold, release, skip or rerun: at once, or by the daemon where one is running."""
    from dacycle.cycler.cycle.engine import open_engine
    from dacycle.cycler.cycle.interventions import carry_out
    from dacycle.cycler.cycle.reruns import owed_rerun, rerun
    from dacycle.cycler.cycle.watching import watching

    check(kind, stage)
    require_ledger(config.paths.state / LEDGER_NAME)
    try:
        with watching() as observer, open_engine(config, now, observer) as engine:
            ask(config.paths.state, kind, time, now, stage, "the command line")
            answer = carry_out(engine, now)[-1]
            if answer.startswith(REFUSED):
                raise StateError(answer.removeprefix(REFUSED))
            print(answer, flush=True)
            while kind == "rerun" and (owed := owed_rerun(engine.ledger)) is not None:
                print(_line(rerun(engine, owed, now)), flush=True)
    except InUseError:
        with History.read(config.paths.state) as history:
            require_possible(history, config, kind, time, now)
        number = ask(config.paths.state, kind, time, now, stage, "the command line")
        print(f"request {number}: the running dacycle answers it between two cycles; see `dacycle status` or its log")


def status(config: Config, as_json: bool, now: datetime) -> None:
    """What the ledger says."""
    with History.read(config.paths.state) as history:
        if as_json:
            print(json.dumps(status_json(history, config, now), allow_nan=False))
        else:
            print("\n".join(status_lines(history, config, now)))


def _tell(config: Config, record: CycleRecord) -> None:
    if record.state not in PUBLISHED:
        raise DacycleError(_line(record))
    early = "early/" if record.stream == "early" else ""
    print(_line(record))
    print(f"products: {config.paths.state / 'products'}/{record.time:%Y/%m/%d/%H}/{early}")


def _line(record: CycleRecord) -> str:
    soundings = f", {record.soundings_used} of {record.soundings_received} soundings used"
    withheld = f", {record.soundings_withheld} withheld" if record.soundings_withheld else ""
    reason = f": {record.reason}" if record.reason else ""
    return f"{record.label}: {record.state}, background {record.background}{soundings}{withheld}{reason}"
