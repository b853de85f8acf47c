"""The routes: status page, health, metrics, the API, the products as files.

Answers come from ``answers.Answers``; every one that is worked out reads the ledger through a connection of its own
that cannot write and that nobody waits for.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from dacycle.cycler.config import Config
from dacycle.cycler.service.answers import Answer, Answers
from dacycle.cycler.service.api import QUERIES, Query, Site
from dacycle.cycler.service.asking import asking
from dacycle.cycler.service.assets import Asset, assets
from dacycle.cycler.service.guard import Guard
from dacycle.cycler.service.health import Health
from dacycle.cycler.service.metrics import registry
from dacycle.cycler.service.openapi import description
from dacycle.cycler.service.page import PARTS, missing, page, part, runbook
from dacycle.errors import DacycleError

__all__ = ["application"]

HTML = "text/html; charset=utf-8"
FRESH = "no-cache"  # keep it, but ask
FOR_EVER = "public, max-age=31536000, immutable"
PAGE_SECONDS = 2.0
OWN_STYLE = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'"
"""What a product's page may do: it carries its style in itself, for it is also opened as a file."""


class _Products(StaticFiles):
    """Finished products; what begins with a dot is being written."""

    async def check_config(self) -> None:
        """The folder may come later, with the first product; until then nothing is found in it."""

    def get_path(self, scope: Scope) -> str:
        """Nothing hidden, nothing with a byte that no file name has."""
        path = super().get_path(scope)
        if "\0" in path or any(part.startswith(".") and part != "." for part in Path(path).parts):
            raise HTTPException(404)
        return path

    def file_response(self, *told: Any, **further: Any) -> Response:
        """With the policy that a page of pictures needs."""
        response = super().file_response(*told, **further)
        if response.media_type == "text/html":
            response.headers["content-security-policy"] = OWN_STYLE
        return response


def application(config: Config, health: Health) -> Starlette:
    """Everything; only requests to hold, release, skip or rerun write, and only into their own table."""
    site = Site(config, health)
    answers = Answers(config.paths.state)
    metrics = registry(config, lambda: health.said().now)

    def made(key: str, make: Callable[[], Answer], seconds: float = PAGE_SECONDS, cache: str = FRESH) -> Route:
        async def endpoint(request: Request) -> Response:
            return (await answers.get(key, make, seconds)).response(request, cache)

        return Route(key, endpoint)

    def queried(query: Query) -> Route:
        async def endpoint(request: Request) -> Response:
            make = query.parse(request)
            known = sorted((k, v) for k, v in request.query_params.items() if k in ("newest", "days", "stream"))
            key = f"{request.url.path} {known}"
            return (await answers.get(key, lambda: query.answer(site, make), query.seconds)).response(request, FRESH)

        return Route(query.path, endpoint)

    async def healthz(request: Request) -> Response:
        stalled = health.said().stalled
        return PlainTextResponse(f"{stalled}\n", 503) if stalled else PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        said = health.said()
        trouble = said.trouble or said.stalled
        return PlainTextResponse(f"{trouble}\n", 503) if trouble else PlainTextResponse("ready\n")

    def scrape() -> Answer:
        return Answer.of(generate_latest(metrics), CONTENT_TYPE_LATEST)

    def asset(one: Asset) -> Route:
        async def endpoint(request: Request) -> Response:
            known = request.query_params.get("v") == one.answer.etag
            return one.answer.response(request, FOR_EVER if known else FRESH)

        return Route(f"/assets/{one.name}", endpoint)

    def html(make: Callable[[], str]) -> Callable[[], Answer]:
        return lambda: Answer.of(make().encode(), HTML)

    described = Answer.of(description(), "application/json")

    async def openapi(request: Request) -> Response:
        return described.response(request, FRESH)

    routes: list[BaseRoute] = [
        made("/", html(lambda: page(site))),
        *(made(f"/parts/{name}", html(lambda name=name: part(site, name))) for name in PARTS),  # type: ignore[misc]
        made("/runbook", html(runbook), 3600.0),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        made("/metrics", scrape, 1.0),
        Route("/api/v1/openapi.json", openapi),
        *map(queried, QUERIES),
        asking(site),
        *map(asset, assets().values()),
        Mount("/products", _Products(directory=config.paths.state / "products", check_dir=False)),
    ]
    handlers = {HTTPException: _refuse, DacycleError: _refuse, TimeoutError: _give_up}
    return Starlette(routes=routes, middleware=[Middleware(Guard)], exception_handlers=handlers)


def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        path, reads = request.url.path, "text/html" in request.headers.get("accept", "")
        if error.status_code == 404 and reads and not path.startswith("/api/"):  # a person came by an old link
            return HTMLResponse(missing(path), 404)
        return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
    return JSONResponse({"error": str(error)}, 503)


def _give_up(request: Request, error: Exception) -> Response:
    assert isinstance(error, asyncio.TimeoutError)
    return JSONResponse({"error": "the request took too long to arrive"}, 408, headers={"connection": "close"})
