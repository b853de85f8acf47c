"""What the ledger knows of a cycle, as values."""

from dataclasses import dataclass
from datetime import UTC, datetime

from dacycle.cycler.cycle.states import State, Stream

__all__ = [
    "Artefact",
    "Counts",
    "CycleRecord",
    "Departure",
    "Event",
    "Listing",
    "StageRecord",
    "StationRecord",
    "Statistics",
    "format_time",
    "parse_time",
]


def format_time(time: datetime) -> str:
    """``2005-08-26T00:00:00Z``; sorts as text the way it does in time."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """The inverse of ``format_time``."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"expected a time as 2005-08-26T00:00:00Z, got {text!r}")
    return time.astimezone(UTC)


@dataclass(frozen=True)
class CycleRecord:
    """One version of one cycle."""

    id: int
    time: datetime
    stream: Stream
    version: int
    state: State
    background: str
    base: int | None
    reason: str
    held: bool
    inputs: str
    settings: str
    soundings_received: int
    soundings_used: int
    soundings_withheld: int
    attempts: int
    failed_attempts: int
    created_at: datetime
    changed_at: datetime
    published_at: datetime | None

    @property
    def label(self) -> str:
        """As an operator would call it."""
        return f"{self.time:%Y-%m-%dT%H} {self.stream}" + (f" (version {self.version})" if self.version > 1 else "")


@dataclass(frozen=True)
class StageRecord:
    """What became of a stage; ``seconds`` is None while it runs."""

    stage: str
    state: str
    attempt: int
    started_at: datetime
    seconds: float | None


@dataclass(frozen=True)
class Artefact:
    """A file that a stage made; ``path`` is relative to the state directory."""

    stage: str
    name: str
    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Departure:
    """Observation minus model over n used values, in the channel's units."""

    n: int
    bias: float
    rms: float


@dataclass(frozen=True)
class Counts:
    """Soundings, and values by channel and status (``used``, ``withheld``, or the reason of a rejection)."""

    received: int
    used: int
    withheld: int
    values: dict[str, dict[str, int]]

    def total(self, status: str) -> int:
        """Values of that status in all channels."""
        return sum(by_status.get(status, 0) for by_status in self.values.values())

    @property
    def rejected(self) -> dict[str, int]:
        """Rejected values by reason."""
        reasons = sorted({s for by_status in self.values.values() for s in by_status} - {"used", "withheld"})
        return {reason: self.total(reason) for reason in reasons}


@dataclass(frozen=True)
class Statistics:
    """What the observations say of background and analysis, by channel."""

    omb: dict[str, Departure]
    oma: dict[str, Departure]
    spread_skill: dict[str, float]


@dataclass(frozen=True)
class StationRecord:
    """What one station gave to one cycle: ``received`` soundings, values by fate, departures by variable (t, u, v, q,
    z, sp) in units of the expected error. The position is in degrees, None where no sounding told it.
    """

    station: str
    lat: float | None
    lon: float | None
    received: int
    used: int
    withheld: int
    rejected: int
    omb: dict[str, Departure]
    oma: dict[str, Departure]


@dataclass(frozen=True)
class Listing:
    """A station that analyses from ``since`` on and before ``until`` do without in one variable, and why."""

    station: str
    variable: str
    since: datetime
    until: datetime
    reason: str


@dataclass(frozen=True)
class Event:
    """A line of the log that an operator reads."""

    at: datetime
    level: str
    cycle: int | None
    text: str
