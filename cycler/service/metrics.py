"""Prometheus metrics, read from the ledger at every scrape, so that a restart loses and repeats nothing."""

from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dacycle.channels import channel
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.owed import SOURCE_NEWEST, SOURCE_SEEN, complete, lag
from dacycle.cycler.cycle.records import CycleRecord
from dacycle.cycler.cycle.space import room
from dacycle.cycler.cycle.states import ENDS, State, Stream
from dacycle.cycler.cycle.usual import HARD, usual
from dacycle.cycler.service.verdict import streak
from dacycle.errors import StateError

__all__ = ["registry"]

VERSION = version("dacycle")
LABELS = ["variable", "level"]
NEWEST_STATES = (
    "SELECT state FROM cycles WHERE stream = 'delayed' AND state != 'superseded' ORDER BY time DESC LIMIT 100"
)


def registry(config: Config, clock: Callable[[], datetime]) -> CollectorRegistry:
    """A registry of its own, with nothing of the process's default one."""
    made = CollectorRegistry()
    made.register(_LedgerCollector(config, clock))
    return made


class _LedgerCollector(Collector):
    def __init__(self, config: Config, clock: Callable[[], datetime]) -> None:
        self.config, self.clock = config, clock

    def describe(self) -> list[Metric]:
        """Nothing in advance: the ledger need not exist yet when the registry is made."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics of this moment."""
        info = GaugeMetricFamily("dacycle_build_info", "Always 1; which version runs.", labels=["version"])
        info.add_metric([VERSION], 1)
        yield info
        try:
            free, size = room(self.config.paths.state)
            yield GaugeMetricFamily("dacycle_archive_free_bytes", "Free space of the state directory.", value=free)
            yield GaugeMetricFamily("dacycle_archive_size_bytes", "Its file system: used and free space.", value=size)
            history = History.read(self.config.paths.state)
        except (OSError, StateError):
            return
        with history:
            yield from self._cycles(history)
            last = history.newest_published(Stream.DELAYED)
            if last is not None:
                yield _soundings(last)
            newest = history.newest_published(Stream.DELAYED, State.PUBLISHED)
            if newest is not None:
                yield _observations(history, newest)
                yield from _statistics(history, newest)
                yield from _limits(history, newest)

    def _cycles(self, history: History) -> Iterator[Metric]:
        now = self.clock()
        success = GaugeMetricFamily(
            "dacycle_cycle_last_success_timestamp_seconds", "When a cycle was last published.", labels=["stream"]
        )
        duration = GaugeMetricFamily(
            "dacycle_cycle_duration_seconds", "How long each stage of the newest delayed cycle took.", labels=["stage"]
        )
        for stream in Stream:
            newest = history.newest_published(stream)
            if newest is None:
                continue
            if newest.published_at is not None:
                success.add_metric([stream], newest.published_at.timestamp())
            if stream == Stream.DELAYED:
                for name, stage in history.stages(newest.id).items():
                    duration.add_metric([name], stage.seconds or 0.0)
        yield success
        yield duration
        total = CounterMetricFamily("dacycle_cycles", "Delayed cycles by what they ended in.", labels=["outcome"])
        outcomes = history.outcomes()
        for state in sorted(ENDS):
            total.add_metric([state], outcomes.get((Stream.DELAYED, state), 0))
        yield total
        row = streak(state["state"] for state in history.query(NEWEST_STATES))
        text = "Newest delayed cycles that had no soundings, in a row."
        yield GaugeMetricFamily("dacycle_free_forecast_streak", text, value=row)
        late = lag(history, self.config, now).total_seconds()
        yield GaugeMetricFamily(
            "dacycle_cycle_lag_seconds", "How long the oldest due delayed cycle has waited.", value=late
        )
        source = history.time_note(SOURCE_NEWEST)
        if source is not None:
            age = (now - source).total_seconds()
            yield GaugeMetricFamily("dacycle_observation_newest_age_seconds", "Age of the newest sounding.", value=age)
        seen = history.time_note(SOURCE_SEEN)
        if seen is not None:
            text = "When the source was last read."
            yield GaugeMetricFamily("dacycle_source_last_read_timestamp_seconds", text, value=seen.timestamp())
        done = 1 if complete(history, self.config) else 0
        yield GaugeMetricFamily(
            "dacycle_period_complete", "1 when the last cycle that is asked for is done.", value=done
        )


def _soundings(record: CycleRecord) -> Metric:
    text = "Soundings of the newest published delayed cycle by what became of them."
    metric = GaugeMetricFamily("dacycle_soundings", text, labels=["status"])
    metric.add_metric(["received"], record.soundings_received)
    metric.add_metric(["used"], record.soundings_used)
    metric.add_metric(["withheld"], record.soundings_withheld)
    return metric


def _observations(history: History, record: CycleRecord) -> Metric:
    text = "Values of the newest published delayed cycle by what became of them."
    metric = GaugeMetricFamily("dacycle_observations", text, labels=["status", "reason", "variable"])
    totals: dict[tuple[str, str, str], int] = {}
    for name, by_status in history.counts(record.id).values.items():
        for status, n in by_status.items():
            key = (status, "", "") if status in ("used", "withheld") else ("rejected", status, "")
            labels = (key[0], key[1], channel(name).variable)
            totals[labels] = totals.get(labels, 0) + n
    for labels, n in sorted(totals.items()):
        metric.add_metric(labels, n)
    return metric


def _statistics(history: History, record: CycleRecord) -> Iterator[Metric]:
    statistics = history.statistics(record.id)
    for kind, words, by_channel in (
        ("omb", "Observation minus background", statistics.omb),
        ("oma", "Observation minus analysis", statistics.oma),
    ):
        for quantity in ("bias", "rms"):
            text = f"{words} of the newest published delayed cycle: {quantity}, in the variable's units."
            metric = GaugeMetricFamily(f"dacycle_{kind}_{quantity}", text, labels=LABELS)
            for name, departure in by_channel.items():
                metric.add_metric(_labels(name), getattr(departure, quantity))
            yield metric
    text = "Expected over found departure from the background: 1 is right, less means too little spread."
    ratio = GaugeMetricFamily("dacycle_spread_skill_ratio", text, labels=LABELS)
    for name, value in statistics.spread_skill.items():
        ratio.add_metric(_labels(name), value)
    yield ratio


def _labels(name: str) -> list[str]:
    known = channel(name)
    return [known.variable, "surface" if known.level_hpa is None else str(known.level_hpa)]


def _limits(history: History, record: CycleRecord) -> Iterator[Metric]:
    soft = usual(history, record.time)
    for quantity, words in (("bias", "the magnitude of the bias"), ("rms", "the root mean square")):
        text = f"Above this, {words} of O-B is unusual: from the last 20 days without their extremes."
        metric = GaugeMetricFamily(f"dacycle_omb_{quantity}_limit", text, labels=LABELS)
        for name, limits in soft.items():
            metric.add_metric(_labels(name), getattr(limits, quantity))
        yield metric
    text = "Above this, the root mean square of O-B is alarming whatever the last days were like."
    hard = GaugeMetricFamily("dacycle_omb_rms_hard_limit", text, labels=LABELS)
    for name in history.statistics(record.id).omb:
        hard.add_metric(_labels(name), HARD[channel(name).variable])
    yield hard
