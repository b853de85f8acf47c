"""The early stream: from the newest delayed analysis to the present, with whatever has arrived; it feeds nothing."""

from datetime import datetime

from dacycle.cycler.cycle.engine import FARTHEST, Engine
from dacycle.cycler.cycle.ingest import Gathered
from dacycle.cycler.cycle.records import CycleRecord
from dacycle.cycler.cycle.states import PUBLISHED, State, Stream
from dacycle.errors import SourceError, StateError

__all__ = ["run_early"]


def run_early(engine: Engine, until: datetime, now: datetime) -> list[CycleRecord]:
    """Early cycles at every analysis time after the newest delayed analysis before ``until``, up to it, oldest first.

    One whose background, soundings and settings are what they were is left as it is; otherwise it is replaced.
    StateError without a delayed analysis to start from, or with one so old that the forecast would mean nothing.
    """
    ledger, interval = engine.ledger, engine.config.interval
    last = engine.config.floor(until)
    delayed = [r for r in ledger.cycles(Stream.DELAYED, until=last - interval) if r.state in PUBLISHED]
    base = next(filter(None, map(engine.usable, reversed(delayed))), None)
    if base is None:
        raise StateError(f"there is no delayed analysis before {last:%Y-%m-%dT%H} for the early stream to start from")
    if last - base.time > FARTHEST:
        raise StateError(
            f"the newest delayed analysis, {base.time:%Y-%m-%dT%H}, lies {(last - base.time).days} days before "
            f"{last:%Y-%m-%dT%H}; expected at most {FARTHEST.days}: run or backfill the delayed stream first"
        )
    done = []
    time = base.time + interval
    while time <= last:
        base = _renew(engine, time, base, now)
        done.append(base)
        time += interval
    return done


def _renew(engine: Engine, time: datetime, base: CycleRecord, now: datetime) -> CycleRecord:
    try:
        gathered = engine.gather(time)
    except SourceError as error:
        engine.ledger.tell(f"early {time:%Y-%m-%dT%H}: goes on without soundings: {error}", now, "warning")
        gathered = Gathered.nothing(time)
    found = engine.ledger.cycle(time, Stream.EARLY)
    if found is not None and found.state in PUBLISHED:
        same = (found.inputs, found.settings) == (gathered.digest, engine.settings(time, base))
        if same and engine.usable(found):
            return found
        engine.ledger.move(found.id, State.SUPERSEDED, now, "more soundings or a newer delayed analysis")
        engine.discard(found)
    record = engine.ledger.add_cycle(time, Stream.EARLY, now)
    return engine.perform(record, base, lambda: gathered, now)
