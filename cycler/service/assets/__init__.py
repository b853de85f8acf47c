"""The page's own scripts and styles, and those of others in ``vendor``, each with its licence.

vendor: uPlot 1.6.32 (MIT), d3-geo 3.1.1 and d3-array 3.2.4 (ISC), topojson-client 3.1.0 (ISC), and the coastlines of
world-atlas 2.0.2 (ISC; Natural Earth, public domain), as npm has them.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dacycle.cycler.service.answers import Answer

__all__ = ["Asset", "assets"]

FOLDER = Path(__file__).parent
MEDIA = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".json": "application/json"}


@dataclass(frozen=True)
class Asset:
    """A file, compressed once; its address changes with its content."""

    name: str
    answer: Answer

    @property
    def address(self) -> str:
        """What the page links to; it may be kept for ever."""
        return f"/assets/{self.name}?v={self.answer.etag}"


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """All of them, by name."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in MEDIA)
    names = {path: path.relative_to(FOLDER).as_posix() for path in paths}
    return {name: Asset(name, Answer.of(path.read_bytes(), MEDIA[path.suffix], 9)) for path, name in names.items()}
