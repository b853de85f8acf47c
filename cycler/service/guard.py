"""What every connection obeys: headers that keep browsers safe, limits that keep slow or greedy clients away."""

import asyncio
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Guard", "ImpatientProtocol"]

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), camera=(), microphone=()",
    "cache-control": "no-cache",
}
MOST_RANGES = 8
LARGEST_HEAD = 16384  # bytes of a request line and its headers
LARGEST_BODY = 4096  # bytes; the only bodies are a few words of JSON
REQUEST_SECONDS = 10.0
SEND_SECONDS = 30.0


class Guard:
    """Middleware around everything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what cannot be served cheaply; add the headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        refused = _refusal(Headers(scope=scope))
        await (refused or self.app)(scope, receive, headed)


def _refusal(headers: Headers) -> JSONResponse | None:
    if headers.get("range", "").count(",") >= MOST_RANGES:
        return JSONResponse({"error": f"expected at most {MOST_RANGES} ranges at a time"}, 416)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length[:12]) > LARGEST_BODY or "transfer-encoding" in headers:
        # The body stays unread, and with it the connection is of no further use.
        told = f"expected a body of at most {LARGEST_BODY} bytes and its length"
        return JSONResponse({"error": told}, 413, {"connection": "close"})
    return None


class ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request is not complete after ``REQUEST_SECONDS``, has a head that does not end, or
    whose client reads nothing for ``SEND_SECONDS``."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head = 0  # bytes that came and made no request yet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock starts with the connection, so that silence counts too."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """A complete header stops the clock; the start of a further request starts it again."""
        if self._deadline is None and self._idle():
            self._start()
        self._head += len(data)
        super().data_received(data)
        if not self._idle():
            self._stop()
            self._head = 0
        elif self._head > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"expected a request head of at most {LARGEST_HEAD} bytes")

    def pause_writing(self) -> None:
        """The client does not take what it asked for."""
        super().pause_writing()
        self._unread = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It does."""
        self._read()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._stop()
        self._read()
        super().connection_lost(exc)

    def _idle(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _start(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.close)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
