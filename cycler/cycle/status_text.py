"""What ``dacycle status`` prints for people: the cycles, why they are as they are, what was asked, what is next."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.owed import SOURCE_NEWEST, SOURCE_SEEN, SOURCE_TROUBLE, complete, next_due
from dacycle.cycler.cycle.records import CycleRecord, Departure, format_time
from dacycle.cycler.cycle.requests import Request, requests

__all__ = ["status_lines"]

NEWEST = 20
REQUESTS = 5
HEADS = ("cycle", "stream", "state", "background", "soundings", "withheld", "O-B t500", "O-A t500", "seconds")


def status_lines(history: History, config: Config, now: datetime, newest: int = NEWEST) -> list[str]:
    """The newest cycles and, however old, those that have not ended or are held; then what is to be said of them."""
    records = history.cycles(newest=newest)
    shown = {record.id for record in records}
    records = [record for record in history.left_open() if record.id not in shown] + records
    older = history.number() - len(records)
    lines = _table(history, records)
    if older:
        lines.insert(1, f"… {older} older; --json has them all")
    due, over = next_due(history, config), complete(history, config)
    none = "nothing, the period is over ([cycle] last)" if over else "unknown until the source has been read"
    return [
        *lines,
        *_reasons(records),
        *map(_asked, _requests(history)),
        f"next due: {format_time(due) if due else none}",
        *_source(history, now),
    ]


def _table(history: History, records: Sequence[CycleRecord]) -> list[str]:
    rows: list[tuple[str, ...]] = [HEADS]
    for record in records:
        statistics = history.statistics(record.id)
        seconds = sum(stage.seconds or 0.0 for stage in history.stages(record.id).values())
        rows.append(
            (
                f"{record.time:%Y-%m-%dT%H}",
                str(record.stream),
                f"{record.state}, held" if record.held else str(record.state),
                record.background,
                f"{record.soundings_used}/{record.soundings_received}",
                str(record.soundings_withheld),
                _rms(statistics.omb.get("t500")),
                _rms(statistics.oma.get("t500")),
                f"{seconds:.1f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _reasons(records: Sequence[CycleRecord]) -> Iterator[str]:
    """Cycles that follow each other with the same reason have one line."""
    for reason, group in groupby(sorted(records, key=lambda r: r.stream), key=lambda r: (r.stream, r.reason)):
        same = list(group)
        if not same[0].reason:
            continue
        if len(same) == 1:
            yield f"{same[0].label}: {same[0].reason}"
        else:
            span = f"{same[0].time:%Y-%m-%dT%H} to {same[-1].time:%Y-%m-%dT%H}"
            yield f"{span} {reason[0]}, {len(same)} cycles: {reason[1]}"


def _requests(history: History) -> list[Request]:
    """The last ones, and all that wait for an answer; oldest first."""
    found = [*requests(history, newest=REQUESTS), *requests(history, waiting=True)]
    return [request for _, request in sorted({request.id: request for request in found}.items())]


def _asked(request: Request) -> str:
    by = f" by {request.by}" if request.by else ""
    answer = request.answer or "waits for its answer, which comes between two cycles"
    asked = f"{request.kind} of {request.time:%Y-%m-%dT%H}, asked {request.asked:%Y-%m-%d %H:%M}{by}"
    return f"request {request.id}, {asked}: {answer}"


def _source(history: History, now: datetime) -> Iterator[str]:
    newest, seen = history.time_note(SOURCE_NEWEST), history.time_note(SOURCE_SEEN)
    told = f"{format_time(newest)}, {_age(now, newest)} ago" if newest else "unknown until the source has been read"
    yield f"newest sounding: {told}"
    trouble = history.last_event(SOURCE_TROUBLE)
    if trouble is not None and (seen is None or trouble.at > seen):
        yield f"since {format_time(trouble.at)} {trouble.text}"


def _rms(departure: Departure | None) -> str:
    return "-" if departure is None or not math.isfinite(departure.rms) else f"{departure.rms:.2f}"


def _age(now: datetime, then: datetime) -> str:
    hours = (now - then).total_seconds() / 3600.0
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
