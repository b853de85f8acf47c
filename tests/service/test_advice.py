"""Verdicts and hints: the worst first, in words that say what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dacycle.cycler.cycle.records import CycleRecord
from dacycle.cycler.cycle.states import State, Stream
from dacycle.cycler.service.advice import advice
from dacycle.cycler.service.health import Word
from dacycle.cycler.service.verdict import Situation, hours, streak, verdict

NOW = datetime(2021, 3, 10, tzinfo=UTC)


def record(state: State, days: float = 4, reason: str = "", held: bool = False) -> CycleRecord:
    time = NOW - timedelta(days=days)
    told = {"soundings_received": 9, "soundings_used": 9, "soundings_withheld": 0, "attempts": 1, "failed_attempts": 0}
    times = {"created_at": time, "changed_at": time, "published_at": None}
    return CycleRecord(
        1, time, Stream.DELAYED, 1, state, "forecast", None, reason, held, inputs="", settings="", **told, **times
    )


FINE = Situation(
    now=NOW,
    word=Word(NOW),
    records=[record(State.PUBLISHED)],
    newest=record(State.PUBLISHED),
    next=NOW - timedelta(days=3),
    due=NOW + timedelta(hours=3),
    late=timedelta(0),
    complete=False,
    endings={},
    source_newest=NOW - timedelta(days=2),
    source_seen=NOW,
    free=10**11,
    size=10**12,
)
OVER = replace(FINE, complete=True, next=None, due=None, endings={State.PUBLISHED: 4})
RUNNING = Word(NOW, busy="2021-03-06 12 UTC delayed: assimilate")
FAILED = record(State.FAILED, 3.5, "no more memory")
FREE = [record(State.PUBLISHED_FREE_FORECAST, days) for days in (3.5, 3)]


@pytest.mark.parametrize(
    ("situation", "level", "words"),
    [
        (FINE, "good", "next cycle is due 2021-03-10 03:00"),
        (replace(FINE, word=Word(NOW, trouble="the worker has ended")), "bad", "restart the service"),
        (replace(FINE, word=Word(NOW, stalled="no progress for 2000 s")), "bad", "No progress"),
        (replace(FINE, word=Word(NOW, trouble="the daemon is starting")), "busy", "The daemon is starting"),
        (replace(FINE, word=Word(NOW, trouble="the source cannot be read: x")), "bad", "Check network and location"),
        (replace(FINE, word=Word(NOW, trouble="the source has no soundings")), "bad", "No cycle can run"),
        (replace(FINE, word=RUNNING), "busy", "A cycle is running"),
        (replace(FINE, word=Word(NOW, busy="asks the source for news")), "good", "healthy"),
        (replace(FINE, free=10**9), "bad", "1.0 GB are free"),
        (replace(FINE, records=[*FINE.records, FAILED]), "bad", "no more memory"),
        (replace(FINE, records=[record(State.PENDING, 3.5, held=True)]), "watch", "dacycle release 2021-03-06T12"),
        (replace(FINE, late=timedelta(hours=30)), "watch", "due 30 hours ago"),
        (replace(FINE, source_seen=NOW - timedelta(hours=8)), "watch", "last read 8 hours ago"),
        (replace(FINE, source_seen=NOW - timedelta(hours=8), word=RUNNING), "busy", "A cycle is running"),
        (replace(FINE, records=[*FINE.records, *FREE]), "watch", "newest 2 cycles are forecasts"),
        (replace(FINE, records=[*FINE.records, record(State.PENDING, 2, held=True)]), "good", "03-08 00 UTC is held"),
        (OVER, "good", "nothing more is due"),
        (
            replace(OVER, endings={State.PUBLISHED: 4, State.PUBLISHED_FREE_FORECAST: 1, State.EXPIRED: 2}),
            "watch",
            "The period is over: 5 published, 2 expired",
        ),
        (replace(FINE, records=[], newest=None), "busy", "No analysis yet"),
        (replace(FINE, records=[record(State.WAITING_OBS, 3, "no soundings")], newest=None), "busy", "no soundings"),
    ],
)
def test_the_verdict_says_what_is_and_what_to_do(situation: Situation, level: str, words: str) -> None:
    told = verdict(situation)
    assert told.level == level
    assert words in f"{told.headline} {told.why} {told.advice}"
    assert told.level in ("good", "busy") or told.advice


def test_the_worst_is_told_first() -> None:
    both = replace(FINE, records=[*FINE.records, FAILED], free=10**9, word=Word(NOW, trouble="the worker has ended"))
    assert verdict(both).runbook == "down"
    assert verdict(replace(both, word=Word(NOW))).runbook == "disklow"


def test_only_the_newest_free_forecasts_count() -> None:
    assert streak(["published_free_forecast", "expired", "published_free_forecast", "published", "expired"]) == 2
    assert streak(["published", "published_free_forecast"]) == 0


@pytest.mark.parametrize(
    ("text", "word", "entry"),
    [
        ("2021-03-01T00 delayed failed: RuntimeError: x", "tried again", "cyclefailed"),
        ("the source cannot be read: nobody answers", "asked again", "sourcestale"),
        ("3 cycles, 2021-03-01T00 to 2021-03-02T00, expired: due for more than 10 days", "backfill", "cyclelate"),
        ("2021-03-01T00 delayed was interrupted while assimilating", "Nothing to do", ""),
        ("the clock jumped by 2 days; nothing is given up for a while", "synchronisation", ""),
        ("2021-03-01T12 delayed: the forecast contradicts the soundings (t250 7)", "helps itself", "omboutofrange"),
        ("2021-03-01T12 delayed: 9 of 20 stations stand out in t: the background is", "at fault", "omboutofrange"),
        ("2021-03-01T00:00:00Z waits for the cluster: no dask scheduler", "no try is counted", "cyclelate"),
        ("early 2021-03-01T00: goes on without soundings: 404", "later still count", "sourcestale"),
        ("2021-03-01T00 delayed given up after 3 tries; version 1 stays", "dacycle rerun", "cyclefailed"),
        ("the archive /a.zarr could not be brought up to date: OSError: x", "makes up for", ""),
        ("old products could not be removed: x", "tried again", "disklow"),
        ("/state/ledger.sqlite is read-only or not ours to write: mend that", "mount", "disklow"),
        ("hold of 2021-03-01T00, asked by http: refused: no such cycle", "Nothing was changed", ""),
        ("the source can be read again", "", ""),
        ("2021-03-01T00 delayed published with 500 of 519 soundings", "", ""),
    ],
)
def test_lines_of_the_log_come_with_advice_where_there_is_some(text: str, word: str, entry: str) -> None:
    told = advice(text)
    assert word in told[0]
    assert told[1] == entry
    assert bool(told[0]) == bool(word)


def test_spans_are_told_as_one_says_them() -> None:
    told = [hours(timedelta(minutes=m)) for m in (-5, 1, 59.9, 60, 71 * 60, 73 * 60)]
    assert told == ["0 minutes", "1 minute", "1 hour", "1 hour", "71 hours", "3 days"]
