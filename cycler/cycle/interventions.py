"""Carrying out what operators asked for: the one place where hold, release, skip and rerun have their meaning."""

from datetime import datetime

from dacycle.cycler.cycle.engine import Engine
from dacycle.cycler.cycle.owed import stale_before
from dacycle.cycler.cycle.possible import require_possible
from dacycle.cycler.cycle.records import CycleRecord, format_time
from dacycle.cycler.cycle.requests import REFUSED, Request, requests
from dacycle.cycler.cycle.reruns import mark
from dacycle.cycler.cycle.states import FINISHED, PUBLISHED, Stage, State, Stream
from dacycle.errors import DacycleError, StateError

__all__ = ["carry_out"]


def carry_out(engine: Engine, now: datetime) -> list[str]:
    """Answer every request that waits, oldest first; the answers. What cannot be done is refused with a reason."""
    answers = []
    for request in requests(engine.ledger, waiting=True):
        try:
            answer, level = _do(engine, request, now), "info"
        except DacycleError as error:
            answer, level = f"{REFUSED}{error}", "warning"
        sql = "UPDATE requests SET done_at = ?, answer = ? WHERE id = ?"
        engine.ledger.write(sql, format_time(now), answer, request.id)
        by = f" by {request.by}" if request.by else ""
        engine.ledger.tell(f"{request.kind} of {request.time:%Y-%m-%dT%H}, asked{by}: {answer}", now, level)
        answers.append(answer)
    return answers


def _do(engine: Engine, request: Request, now: datetime) -> str:
    require_possible(engine.ledger, engine.config, request.kind, request.time, now)
    found = engine.ledger.cycle(request.time, Stream.DELAYED)
    if request.kind == "hold":
        return _hold(engine, request, found, now)
    if request.kind == "release":
        return _release(engine, request, found, now)
    if request.kind == "skip":
        return _skip(engine, request, found, now)
    assert found is not None
    return _rerun(engine, request, found)


def _hold(engine: Engine, request: Request, found: CycleRecord | None, now: datetime) -> str:
    record = found or engine.ledger.add_cycle(request.time, Stream.DELAYED, now)
    engine.ledger.hold(record.id, held=True)
    if record.state in PUBLISHED:
        return f"{record.label} is held: it is published and is not run again until it is released"
    return f"{record.label} is held: it and those after it wait, and none expires, until it is released"


def _release(engine: Engine, request: Request, found: CycleRecord | None, now: datetime) -> str:
    if found is None or not found.held:
        raise StateError(f"{request.time:%Y-%m-%dT%H} is not held")
    engine.ledger.hold(found.id, held=False)
    if found.state not in FINISHED and found.time < stale_before(engine.config, now):
        # Without the mark the catch-up limit would take at once what an operator has just let go on.
        mark(engine.ledger, found, Stage.INGEST, "released")
        days = engine.config.cycle.catch_up_limit_days
        return f"{found.label} is released and runs; what waited behind it for more than {days:g} days expires"
    engine.ledger.forget(found.id)
    return f"{found.label} is released"


def _skip(engine: Engine, request: Request, found: CycleRecord | None, now: datetime) -> str:
    if found is not None and found.state in FINISHED:
        raise StateError(f"{found.label} is {found.state}: there is nothing to skip")
    valid = engine.ledger.valid(request.time, Stream.DELAYED)
    if valid is not None:
        raise StateError(f"{valid.label} is {valid.state}: there is nothing to skip")
    by = f" by {request.by}" if request.by else " by an operator"
    engine.ledger.expire([request.time], now, f"skipped{by}")
    return f"{request.time:%Y-%m-%dT%H} delayed is skipped: the next cycle starts from a longer forecast"


def _rerun(engine: Engine, request: Request, found: CycleRecord) -> str:
    record = engine.ledger.valid(request.time, Stream.DELAYED) or found
    by = f" by {request.by}" if request.by else " by an operator"
    mark(engine.ledger, record, request.stage or Stage.INGEST, f"asked for{by}")
    if record.state == State.EXPIRED:
        # What went on without it starts from it now.
        after = engine.ledger.valid(request.time + engine.config.interval, Stream.DELAYED)
        if after is not None:
            mark(engine.ledger, after, Stage.INGEST, f"{record.label} is run after all")
    if record.state not in PUBLISHED:
        return f"{record.label} is tried again at once"
    return f"{record.label} is run again from {request.stage or Stage.INGEST}, and all that grew on it"
