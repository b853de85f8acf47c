"""Cycles as the page draws them: a cell each, with its stages, its state in words and colour, and what can be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import Counts, CycleRecord, StageRecord
from dacycle.cycler.cycle.states import ACTIVE, PUBLISHED, STATE_OF, Stage, State
from dacycle.cycler.service.files import Link, links

__all__ = ["Cell", "Span", "cells", "past_year"]

LOOKS = {
    State.PUBLISHED: ("good", "✓", "published with soundings"),
    State.PUBLISHED_FREE_FORECAST: ("free", "→", "published as a forecast: no soundings"),
    State.FAILED: ("bad", "✗", "failed"),
    State.EXPIRED: ("gone", "–", "expired: too old to be caught up with"),
    State.WAITING_OBS: ("wait", "…", "waits for soundings"),
    State.PENDING: ("wait", "·", "about to begin"),
    State.SUPERSEDED: ("gone", "↻", "replaced by a rerun"),
}
RUNNING = ("busy", "▶", "running")


@dataclass(frozen=True)
class Step:
    """A stage: ``look`` is done, busy, failed or none; ``seconds`` None while it runs."""

    name: str
    look: str
    seconds: float | None


@dataclass(frozen=True)
class Cell:
    """One cycle."""

    record: CycleRecord
    look: str
    mark: str
    meaning: str
    steps: list[Step]
    counts: Counts
    files: list[Link]

    @property
    def key(self) -> str:
        """Its name within the page."""
        return f"{self.record.time:%Y%m%d%H}-{self.record.stream}"

    @property
    def by_hand(self) -> tuple[str, str]:
        """What an operator would most likely do with it: the command, and what for."""
        if self.record.held:
            return "release", "to let it go on"
        if self.record.state in (State.WAITING_OBS, State.PENDING):
            return "hold", "to let it wait"
        return ("hold", "to let those after it wait") if self.record.state in ACTIVE else ("rerun", "to run it again")


def cells(history: History, newest: int) -> list[Cell]:
    """The newest cycles of both streams, oldest first."""
    # Of a cycle that is being run again, the new version only.
    records = list({(r.time, r.stream): r for r in history.cycles(newest=newest)}.values())
    stages, counts = history.all_stages([record.id for record in records]), history.all_counts(records)
    times = [record.time for record in records]
    lying = history.products(min(times), max(times)) if times else []
    files = {(entry.time, str(entry.stream)): links(entry) for entry in lying}
    return [
        _cell(record, stages[record.id], counts[record.id], files.get((record.time, str(record.stream)), []))
        for record in records
    ]


def _cell(record: CycleRecord, stages: Mapping[str, StageRecord], counts: Counts, files: list[Link]) -> Cell:
    look, mark, meaning = LOOKS.get(record.state, RUNNING)
    if record.state in ACTIVE:
        meaning = next(f"running: {stage}" for stage, state in STATE_OF.items() if state == record.state)
    steps = [_step(record, stage, stages.get(stage)) for stage in Stage]
    return Cell(record, look, mark, meaning, steps, counts, files if record.state in PUBLISHED else [])


def _step(record: CycleRecord, stage: Stage, told: StageRecord | None) -> Step:
    if told is None:
        return Step(stage, "none", None)
    look = {"done": "done", "failed": "failed", "running": "busy"}[told.state]
    if look == "busy" and record.state not in ACTIVE:
        look = "none"  # it was interrupted
    return Step(stage, look, told.seconds)


@dataclass(frozen=True)
class Span:
    """Consecutive delayed cycles of one look; ``start`` and ``width`` in cycles."""

    look: str
    start: int
    width: int
    label: str


def past_year(history: History, newest: int) -> tuple[list[Span], datetime | None, datetime | None]:
    """The delayed cycles of up to a year as a strip, and its two ends."""
    rows = history.query(
        "SELECT time, state, max(version) FROM cycles WHERE stream = 'delayed' AND state != 'superseded'"
        " GROUP BY time ORDER BY time DESC LIMIT ?",
        newest,
    )[::-1]
    if not rows:
        return [], None, None
    spans = []
    for look, group in groupby(enumerate(rows), key=lambda pair: LOOKS.get(State(pair[1]["state"]), RUNNING)[0]):
        members = list(group)
        spans.append(Span(look, members[0][0], len(members), _label(members, look)))
    return spans, datetime.fromisoformat(rows[0]["time"]), datetime.fromisoformat(rows[-1]["time"])


def _label(members: Sequence[tuple[int, Any]], look: str) -> str:
    first, last = members[0][1]["time"][:13], members[-1][1]["time"][:13]
    meaning = next(words for known, _, words in [*LOOKS.values(), RUNNING] if known == look)
    return f"{first}: {meaning}" if first == last else f"{first} to {last}: {meaning}"
