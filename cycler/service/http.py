"""The daemon's HTTP side: status page, health, metrics, a read-only API, the products as files.

Every request reads the ledger through a connection of its own that cannot write and that nobody waits for.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import format_time, parse_time
from dacycle.cycler.cycle.report import cycles_json, status_json
from dacycle.cycler.cycle.states import Stream
from dacycle.cycler.service.metrics import registry
from dacycle.cycler.service.page import STYLE, render
from dacycle.errors import DacycleError, StateError

__all__ = ["Health", "application", "listen", "serving"]

HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
MOST_CYCLES = 2000


class Health(Protocol):
    """What the daemon says of itself."""

    def trouble(self) -> str | None:
        """Why no cycle could run now; None when one could."""
        ...

    def busy(self) -> str:
        """What it is doing, in a few words; empty when idle."""
        ...


class _Headers:
    """Adds the security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in present]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class _Products(StaticFiles):
    """Finished products; what begins with a dot is being written."""

    async def check_config(self) -> None:
        """The folder may come later, with the first product; until then nothing is found in it."""

    def get_path(self, scope: Scope) -> str:
        path = super().get_path(scope)
        if any(part.startswith(".") and part != "." for part in Path(path).parts):
            raise HTTPException(404)
        return path


def application(config: Config, clock: Callable[[], datetime], health: Health) -> Starlette:
    """The routes; nothing here writes."""
    metrics = registry(config, clock)
    state = config.paths.state

    def page(request: Request) -> Response:
        try:
            with History.read(state) as history:
                return HTMLResponse(render(history, config, clock(), health.busy()))
        except StateError:
            return HTMLResponse(render(None, config, clock()))

    def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(request: Request) -> Response:
        trouble = health.trouble()
        return PlainTextResponse("ready\n") if trouble is None else PlainTextResponse(f"{trouble}\n", 503)

    def scrape(request: Request) -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    def cycles(request: Request) -> Response:
        newest = _number(request.query_params.get("newest", "200"))
        with History.read(state) as history:
            return JSONResponse(status_json(history, config, clock(), newest=newest))

    def one_cycle(request: Request) -> Response:
        try:
            time = parse_time(request.path_params["time"])
            stream = Stream(request.query_params.get("stream", "delayed"))
        except ValueError:
            raise HTTPException(400, "expected a time as 2005-08-26T00:00:00Z and a stream, delayed or early") from None
        with History.read(state) as history:
            record = history.cycle(time, stream)
            if record is None:
                raise HTTPException(404, f"there is no {stream} cycle of {format_time(time)}")
            return JSONResponse(cycles_json(history, [record])[0])

    def events(request: Request) -> Response:
        newest = _number(request.query_params.get("newest", "100"))
        with History.read(state) as history:
            told = [{"at": format_time(e.at), "level": e.level, "text": e.text} for e in history.events(newest)]
            return JSONResponse({"events": told})

    def style(request: Request) -> Response:
        return Response(STYLE, media_type="text/css")

    def refuse(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 503
        detail = error.detail if isinstance(error, HTTPException) else str(error)
        return JSONResponse({"error": detail}, status)

    routes: list[BaseRoute] = [
        Route("/", page),
        Route("/style.css", style),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", scrape),
        Route("/api/v1/cycles", cycles),
        Route("/api/v1/cycles/{time}", one_cycle),
        Route("/api/v1/events", events),
        Mount("/products", _Products(directory=state / "products", check_dir=False)),
    ]
    handlers = {HTTPException: refuse, DacycleError: refuse}
    return Starlette(routes=routes, middleware=[Middleware(_Headers)], exception_handlers=handlers)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_CYCLES):
        raise HTTPException(400, f"newest: expected a number from 1 to {MOST_CYCLES}, got {text[:40]!r}")
    return int(text)


def listen(config: Config) -> socket.socket:
    """The listening socket; StateError in one line where the address is taken or not ours."""
    host, port = config.service.host, config.service.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, reuse_port=False)
    except OSError as error:
        code = error.errno or 0
        told = os.strerror(code) if code > 0 else str(error)
        raise StateError(f"cannot listen on {host}:{port}: {told}; set [service] host and port") from error


@contextmanager
def serving(app: Starlette, listening: socket.socket) -> Iterator[None]:
    """Serve in a thread of its own while the block runs."""
    settings = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
        limit_concurrency=200,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(5.0)
        with contextlib.suppress(OSError):
            listening.close()
