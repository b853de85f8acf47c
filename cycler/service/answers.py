"""Answers that are worked out once and served many times: compressed, with an ETag, bounded in number and in work.

What the ledger says changes when its file changes. An answer therefore holds while SQLite's ``data_version`` is what
it was, and for a few seconds at most, because ages grow. One answer is worked out at a time, whatever is asked for.
"""

import gzip
import hashlib
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from dacycle.cycler.cycle.history import LEDGER_NAME

__all__ = ["Answer", "Answers"]

LARGEST = 24 * 2**20  # bytes that are kept
SMALLEST_PACKED = 600  # below this, compression saves no packet


@dataclass(frozen=True)
class Answer:
    """A body with what HTTP wants to know of it."""

    body: bytes
    media: str
    packed: bytes | None
    etag: str

    @classmethod
    def of(cls, body: bytes, media: str, level: int = 6) -> "Answer":
        """Compressed where that pays."""
        packed = gzip.compress(body, level, mtime=0) if len(body) >= SMALLEST_PACKED else None
        smaller = packed if packed is not None and len(packed) < 0.9 * len(body) else None
        return cls(body, media, smaller, hashlib.sha256(body).hexdigest()[:20])

    def response(self, request: Request, cache_control: str) -> Response:
        """304 to who has it already, else the body, compressed for who takes that."""
        zipped = self.packed is not None and "gzip" in request.headers.get("accept-encoding", "")
        tag = f'"{self.etag}{"-gz" if zipped else ""}"'
        headers = {"etag": tag, "cache-control": cache_control, "vary": "accept-encoding"}
        known = request.headers.get("if-none-match", "")
        if known == "*" or self.etag in known:
            return Response(status_code=304, headers=headers)
        if zipped:
            headers["content-encoding"] = "gzip"
        return Response(self.packed if zipped else self.body, headers=headers, media_type=self.media)


@dataclass
class _Kept:
    answer: Answer
    generation: Any
    until: float


@dataclass
class Answers:
    """The answers of one state directory."""

    state: Path
    _kept: "OrderedDict[str, _Kept]" = field(default_factory=OrderedDict)
    _bytes: int = 0
    _watcher: tuple[int, sqlite3.Connection] | None = None
    _one: anyio.CapacityLimiter | None = None

    async def get(self, key: str, make: Callable[[], Answer], seconds: float) -> Answer:
        """The answer of that name, made anew in a thread when the ledger changed or ``seconds`` have passed."""
        if (found := self._fresh(key)) is not None:
            return found
        if self._one is None:
            self._one = anyio.CapacityLimiter(1)
        async with self._one:
            if (found := self._fresh(key)) is not None:  # somebody else asked the same meanwhile
                return found
            generation = self._generation()
            answer = await anyio.to_thread.run_sync(make)
            self._keep(key, _Kept(answer, generation, time.monotonic() + seconds))
            return answer

    def _fresh(self, key: str) -> Answer | None:
        kept = self._kept.get(key)
        if kept is None or kept.until < time.monotonic() or kept.generation != self._generation():
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def _keep(self, key: str, kept: _Kept) -> None:
        for name in [key] if key in self._kept else []:
            self._bytes -= _size(self._kept.pop(name))
        self._kept[key] = kept
        self._bytes += _size(kept)
        while self._bytes > LARGEST and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])

    def _generation(self) -> Any:
        """Changes whenever something was committed to the ledger, or another file took its place."""
        path = self.state / LEDGER_NAME
        try:
            inode = path.stat().st_ino
            if self._watcher is None or self._watcher[0] != inode:
                if self._watcher is not None:
                    self._watcher[1].close()
                uri = f"{path.absolute().as_uri()}?mode=ro"
                self._watcher = inode, sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1.0)
            return inode, self._watcher[1].execute("PRAGMA data_version").fetchone()[0]
        except (OSError, sqlite3.Error):
            if self._watcher is not None:
                with suppress(sqlite3.Error):
                    self._watcher[1].close()
            self._watcher = None
            return None


def _size(kept: _Kept) -> int:
    return len(kept.answer.body) + len(kept.answer.packed or b"") + 500
