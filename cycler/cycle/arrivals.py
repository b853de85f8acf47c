"""Which soundings a cycle saw, by content, so that late and revised ones can be told from those it used."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dacycle.obs.soundings import Soundings

__all__ = ["Arrived", "Late", "arrivals", "as_json", "from_json", "late"]


@dataclass(frozen=True)
class Arrived:
    """A sounding: ``key`` is station, nominal and release time; ``digest`` hashes its text; position in degrees."""

    key: str
    digest: str
    lat: float | None
    lon: float | None

    @property
    def station(self) -> str:
        """The 11-character ID."""
        return self.key.split(" ", 1)[0]


def arrivals(soundings: Soundings) -> tuple[Arrived, ...]:
    """Every sounding of ``soundings``, by key."""
    reports = soundings.reports
    columns = (reports.key, reports.digest, reports.lat, reports.lon)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    # NaN, where a sounding has no position, is the one number that differs from itself.
    found = [Arrived(key, digest, *(x if x == x else None for x in place)) for key, digest, *place in rows]
    return tuple(sorted(found, key=lambda sounding: sounding.key))


@dataclass(frozen=True)
class Late:
    """What the source has now against ``before`` soundings that a cycle saw; each of the others is a count of them.

    ``new``: not seen then; ``revised``: seen with another content; ``gone``: no longer there, which causes nothing.
    """

    before: int
    new: int
    revised: int
    gone: int

    @property
    def fraction(self) -> float:
        """New and revised ones, of those before; infinite where there were none and now there are."""
        changed = self.new + self.revised
        return changed / self.before if self.before else float("inf") if changed else 0.0


def late(before: Mapping[str, str], now: Mapping[str, str]) -> Late:
    """Both map a sounding's key to its digest."""
    both = before.keys() & now.keys()
    revised = sum(before[key] != now[key] for key in both)
    return Late(len(before), len(now) - len(both), revised, len(before) - len(both))


def as_json(arrived: tuple[Arrived, ...]) -> list[dict[str, Any]]:
    """As a cycle's ``inputs.json`` keeps them."""
    return [asdict(sounding) for sounding in arrived]


def from_json(noted: list[dict[str, Any]]) -> tuple[Arrived, ...]:
    """The inverse of ``as_json``."""
    return tuple(Arrived(**sounding) for sounding in noted)
