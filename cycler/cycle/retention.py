"""Old cycles let go of their files by one rule: what lies before a limit goes, and nothing that may be needed does.

Needed is whatever a rerun, or a cycle that has not ended, starts from, and all that grew on it. As cycles stand on each
other in order, that is everything from some analysis time on; so one limit says it all. Age counts in analysis time
and from the newest analysis at most, so that neither a stalled source nor a clock that jumped empties the archive.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.records import format_time, parse_time
from dacycle.cycler.cycle.states import FINISHED, PUBLISHED, State, Stream
from dacycle.cycler.products.retention import Expired, expired, remove

__all__ = ["Retention", "retention", "retention_lines", "retire"]


@dataclass(frozen=True)
class Retention:
    """What goes: everything of analysis times before ``before``; ``because``: why it is not more.

    ``products`` are cycles' product folders, ``work`` folders of the files that stages hand to each other.
    """

    before: datetime
    because: str
    products: list[Expired]
    work: list[Path]

    @property
    def bytes(self) -> int:
        """That become free."""
        return sum(each.bytes for each in self.products) + sum(map(_size, self.work))


def retention(history: History, config: Config, now: datetime) -> Retention | None:
    """What the rule lets go of; None where everything is kept. Nothing is removed: the dry run."""
    if config.products.retention_days <= 0:
        return None
    bounds = list(_bounds(history, config, now))
    if len(bounds) < 2:
        return None  # nothing was ever published
    before, because = min(bounds)
    state = config.paths.state
    work = [folder for time, folder in _work_folders(state) if time < before]
    return Retention(before, because, expired(state, before), work)


def retire(ledger: Ledger, config: Config, now: datetime) -> Retention | None:
    """Remove what the rule lets go of, the ledger's promises first; what a retirement that died left goes too."""
    chosen = retention(ledger, config, now)
    if chosen is None:
        return None
    if chosen.products or chosen.work:
        ledger.retire(chosen.before)
        text = (
            f"retention: {len(chosen.products)} product folders and the files of {len(chosen.work)} cycles before "
            f"{chosen.before:%Y-%m-%dT%H} go, {chosen.bytes / 1e6:.0f} MB"
        )
        ledger.tell(text, now)
    remove(config.paths.state, chosen.products)
    for folder in chosen.work:
        shutil.rmtree(folder, ignore_errors=True)
    return chosen


def _bounds(history: History, config: Config, now: datetime) -> Iterator[tuple[datetime, str]]:
    """From when on everything stays, and why; the earliest counts. Of a cycle, the one it starts from stays too."""
    newest = history.newest_published(Stream.DELAYED)
    present, watched = now, now
    if newest is not None:
        yield newest.time, "the next cycle starts from the newest analysis"
        present = min(now, newest.time + timedelta(hours=config.cycle.cutoff_max_hours))
        watched = min(now, newest.time)  # as reruns count it
    days = config.products.retention_days
    yield present - timedelta(days=days), f"retention_days = {days:g}"
    window = config.cycle.rerun_window_days
    told = f"soundings may still cause reruns (rerun_window_days = {window:g})"
    yield _start(history, config, watched - timedelta(days=window)), told
    for record in history.in_states(set(State) - FINISHED):
        if record.stream == Stream.DELAYED:  # early ones that matter are newer than the newest delayed analysis
            yield _start(history, config, record.time), f"{record.label} is {record.state}"
    for row in history.query(OWED_RERUNS):
        yield _start(history, config, parse_time(row["time"])), f"{row['time'][:13]} is to be run again"


OWED_RERUNS = """
SELECT c.time FROM cycles c LEFT JOIN reruns r ON r.cycle = c.id LEFT JOIN cycles b ON b.id = c.base
 WHERE c.stream = 'delayed' AND c.state != 'superseded'
 AND (r.state = 'owed' OR (r.cycle IS NULL AND b.state = 'superseded'))
UNION SELECT time FROM requests WHERE done_at IS NULL AND kind = 'rerun'
"""


def _start(history: History, config: Config, time: datetime) -> datetime:
    """The analysis time that a cycle at ``time``, or the first one after it, starts from: of the newest before it."""
    before = [r.time for r in history.cycles(Stream.DELAYED, until=time) if r.time < time and r.state in PUBLISHED]
    return min(max(before, default=time), time - config.interval)


def _work_folders(state: Path) -> Iterator[tuple[datetime, Path]]:
    for folder in sorted((state / "work").glob("[0-9]*-*-*")):
        try:
            yield datetime.strptime(folder.name[:13], "%Y-%m-%dT%H").replace(tzinfo=UTC), folder
        except ValueError:
            continue


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def retention_lines(chosen: Retention | None) -> list[str]:
    """As an operator reads it."""
    if chosen is None:
        return ["everything is kept: [products] retention_days is 0, or nothing was published yet"]
    lines = [f"{each.bytes / 1e6:9.1f} MB  {each.folder}" for each in chosen.products]
    lines += [f"{_size(folder) / 1e6:9.1f} MB  {folder}" for folder in chosen.work]
    lines.append(
        f"{chosen.bytes / 1e6:9.1f} MB in all, of cycles before {format_time(chosen.before)}; later ones stay: "
        f"{chosen.because}"
    )
    return lines
