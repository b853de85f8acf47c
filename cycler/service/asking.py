"""Hold, release, skip and rerun over HTTP: off until a token is configured, and then only entered as requests."""

import asyncio
import hmac
from typing import get_args

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.records import format_time
from dacycle.cycler.cycle.requests import Kind, ask
from dacycle.cycler.service.api import Site, cycle_time

__all__ = ["KINDS", "asking"]

KINDS: tuple[Kind, ...] = get_args(Kind)
BODY_SECONDS = 10.0
SHORTEST_TOKEN = 16


def asking(site: Site) -> Route:
    """``POST /api/v1/cycles/{time}/{kind}``."""

    async def endpoint(request: Request) -> Response:
        allow(site.config, request.headers.get("authorization", ""))
        time = cycle_time(request)
        kind = next((k for k in KINDS if k == request.path_params["kind"]), None)
        if kind is None:
            raise HTTPException(404, f"expected one of {', '.join(KINDS)}")
        async with asyncio.timeout(BODY_SECONDS):
            if await request.body():
                raise HTTPException(400, "expected no body: the address says everything")
        if not site.config.on_grid(time):
            raise HTTPException(404, f"{format_time(time)} is no analysis time")
        by = f"http {request.client.host if request.client else ''}".strip()
        now = site.health.said().now
        number = await anyio.to_thread.run_sync(lambda: ask(site.config.paths.state, kind, time, now, by=by))
        told = {"request": number, "kind": kind, "time": format_time(time), "answer": "at the daemon's next waking"}
        return JSONResponse(told, 202)

    return Route("/api/v1/cycles/{time}/{kind}", endpoint, methods=["POST"])


def allow(config: Config, header: str) -> None:
    """403 where such calls are off, 401 without the right token; the file is read each time, so it can be changed."""
    path = config.service.token_file
    if path is None:
        raise HTTPException(403, "this daemon takes no such requests: [service] token_file is not set")
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise HTTPException(403, "this daemon takes no such requests: its token file cannot be read") from error
    if len(token) < SHORTEST_TOKEN:
        raise HTTPException(403, f"this daemon takes no such requests: its token is shorter than {SHORTEST_TOKEN}")
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise HTTPException(401, "expected the header Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})
