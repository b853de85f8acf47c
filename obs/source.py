"""Where soundings come from: one interface for a folder and for a server in the same layout."""

from datetime import datetime
from pathlib import Path
from typing import Protocol

from dacycle.errors import SourceError
from dacycle.obs.igra.archive import FolderSource
from dacycle.obs.soundings import WINDOW_HOURS, Problem, Soundings

__all__ = ["WINDOW_HOURS", "SoundingSource", "is_address", "open_source"]


class SoundingSource(Protocol):
    """An archive of soundings.

    ``refresh`` asks the outside world for news and is the only method that may use the network; what could not be
    had is told as problems, and what was there before stays. ``fetch`` and ``newest`` read what is at hand (a source
    that has never been refreshed does so first).
    """

    def refresh(self, time: datetime | None = None) -> tuple[Problem, ...]:
        """Bring the archive up to date, as far as ``time`` needs it (None: the newest times).

        SourceError when nothing at all can be reached and nothing is at hand.
        """
        ...

    def fetch(self, time: datetime, window_hours: float = WINDOW_HOURS) -> Soundings:
        """The soundings whose nominal time t has -window <= t - ``time`` < window.

        The nominal time decides, the release time where there is none. A station may occur more than once.
        Unreadable files and lines come as ``problems`` and stop nothing.
        """
        ...

    def newest(self) -> datetime | None:
        """The newest nominal time with a sounding (aware UTC, whole hours); None for an archive without soundings."""
        ...


def is_address(location: str) -> bool:
    """Whether it is a server's, not a folder."""
    return location.startswith(("http://", "https://"))


def open_source(kind: str, location: str, mirror: Path) -> SoundingSource:
    """The source of that kind at a folder or an http(s) address; ``mirror`` is where a server's files are kept.

    SourceError for an unknown kind, a folder that is absent or is not in the archive's layout, an archive without
    sounding files. A server is not contacted before the first ``refresh`` or ``fetch``.
    """
    if kind != "igra":
        raise SourceError(f"unknown source kind {kind!r}; expected igra: set [source] kind")
    if is_address(location):
        # Only those who use a server pay for importing the client.
        from dacycle.obs.igra.http import HttpSource

        return HttpSource(location, mirror)
    return FolderSource(Path(location).expanduser())
