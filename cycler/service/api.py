"""The API's answers: what is asked for, checked, and worked out from the ledger."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from dacycle.channels import channel
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import CycleRecord, format_time, parse_time
from dacycle.cycler.cycle.report import cycles_json
from dacycle.cycler.cycle.report import status_json as cycles_status
from dacycle.cycler.cycle.requests import requests
from dacycle.cycler.cycle.states import PUBLISHED, Stream
from dacycle.cycler.service.answers import Answer
from dacycle.cycler.service.coverage import coverage_json, station_json
from dacycle.cycler.service.health import Health
from dacycle.cycler.service.maps import KINDS, field, offered
from dacycle.cycler.service.series import ranks_json, series_json
from dacycle.cycler.service.verdict import situation, status_json
from dacycle.errors import ProductError

__all__ = ["QUERIES", "Query", "Site", "cycle_time"]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
STATION = re.compile(r"[A-Z0-9_-]{1,11}")
JSON = "application/json"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Site:
    """What every answer is made from."""

    config: Config
    health: Health


Make = Callable[[Site, History], bytes]


@dataclass(frozen=True)
class Query:
    """A GET: ``parse`` checks the request (400 with a reason) and says how to work it out.

    ``seconds``: how long an answer holds while the ledger stays as it is.
    """

    path: str
    parse: Callable[[Request], Make]
    seconds: float = 10.0
    media: str = JSON

    def answer(self, site: Site, make: Make) -> Answer:
        """Open the ledger, make the body."""
        with History.read(site.config.paths.state) as history:
            return Answer.of(make(site, history), self.media)


def _body(told: Any) -> bytes:
    return json.dumps(told, allow_nan=False, separators=(",", ":")).encode()


def _number(request: Request, name: str, default: int, largest: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= largest):
        raise HTTPException(400, f"{name}: expected a number from 1 to {largest}, got {text[:40]!r}")
    return int(text)


def cycle_time(request: Request) -> datetime:
    """The time in the address; 400 with what was expected."""
    text = request.path_params["time"]
    try:
        if not TIME.fullmatch(text):
            raise ValueError
        return parse_time(text)
    except ValueError:
        raise HTTPException(400, f"expected a time as 2005-08-26T00:00:00Z, got {text[:40]!r}") from None


def _stream(request: Request) -> Stream:
    text = request.query_params.get("stream", "delayed")
    if text not in {"delayed", "early"}:
        raise HTTPException(400, f"stream: expected delayed or early, got {text[:40]!r}")
    return Stream(text)


def _channel(request: Request) -> str:
    text = request.path_params["channel"]
    try:
        if len(text) > 5 or not text.isascii() or channel(text).name != text:
            raise ValueError
        if (level := channel(text).level_hpa) is not None and text[1:] != str(level):
            raise ValueError
    except ValueError:
        raise HTTPException(400, f"expected a channel as t850, got {text[:40]!r}") from None
    return str(text)


def _published(history: History, time: datetime | None = None, stream: Stream = Stream.DELAYED) -> CycleRecord:
    record = history.newest_published(stream) if time is None else history.cycle(time, stream)
    if record is None or record.state not in PUBLISHED:
        when = "yet" if time is None else f"of {format_time(time)}"
        raise HTTPException(404, f"there is no published {stream} cycle {when}")
    return record


def _status(request: Request) -> Make:
    return lambda site, history: _body(status_json(situation(history, site.config, site.health.said())))


def _cycles(request: Request) -> Make:
    newest = _number(request, "newest", 200, 2000)
    return lambda site, history: _body(cycles_status(history, site.config, site.health.said().now, newest=newest))


def _cycle(request: Request) -> Make:
    time, stream = cycle_time(request), _stream(request)

    def make(site: Site, history: History) -> bytes:
        record = history.cycle(time, stream)
        if record is None:
            raise HTTPException(404, f"there is no {stream} cycle of {format_time(time)}")
        return _body(cycles_json(history, [record])[0])

    return make


def _events(request: Request) -> Make:
    newest = _number(request, "newest", 100, 2000)
    return lambda site, history: _body(
        {"events": [{"at": format_time(e.at), "level": e.level, "text": e.text} for e in history.events(newest)]}
    )


def _requests(request: Request) -> Make:
    newest = _number(request, "newest", 50, 500)

    def make(site: Site, history: History) -> bytes:
        told = [
            {
                "id": r.id,
                "kind": r.kind,
                "time": format_time(r.time),
                "asked": format_time(r.asked),
                "done": format_time(r.done) if r.done else None,
                "answer": r.answer,
            }
            for r in requests(history, newest)
        ]
        return _body({"requests": told})

    return make


def _series(request: Request) -> Make:
    name, days = _channel(request), _number(request, "days", 90, 800)
    return lambda site, history: _body(series_json(history, name, days))


def _ranks(request: Request) -> Make:
    days = _number(request, "days", 30, 800)
    return lambda site, history: _body(ranks_json(history, days))


def _stations(request: Request) -> Make:
    return lambda site, history: _body(coverage_json(site.config, history, _published(history)))


def _station(request: Request) -> Make:
    name = request.path_params["station"]
    if not STATION.fullmatch(name):
        raise HTTPException(400, f"expected a station's ID as GMM00010393, got {name[:40]!r}")

    def make(site: Site, history: History) -> bytes:
        told = station_json(site.config, history, _published(history), name)
        if told is None:
            raise HTTPException(404, f"nothing is known of station {name}")
        return _body(told)

    return make


def _fields(request: Request) -> Make:
    time, stream = cycle_time(request), _stream(request)

    def make(site: Site, history: History) -> bytes:
        kinds, names = offered(site.config, history, _published(history, time, stream))
        return _body({"time": format_time(time), "kinds": kinds, "channels": names})

    return make


def _field(request: Request) -> Make:
    time, stream, name = cycle_time(request), _stream(request), _channel(request)
    kind = next((k for k in KINDS if k == request.path_params["kind"]), None)
    if kind is None:
        raise HTTPException(400, f"expected one of {', '.join(KINDS)}, got {request.path_params['kind'][:40]!r}")

    def make(site: Site, history: History) -> bytes:
        try:
            return field(site.config, history, _published(history, time, stream), kind, name)
        except (ProductError, OSError) as error:
            raise HTTPException(404, str(error)) from error

    return make


QUERIES = (
    Query("/api/v1/status", _status, 2.0),
    Query("/api/v1/cycles", _cycles),
    Query("/api/v1/cycles/{time}", _cycle),
    Query("/api/v1/events", _events),
    Query("/api/v1/requests", _requests),
    Query("/api/v1/series/{channel}", _series, 60.0),
    Query("/api/v1/ranks", _ranks, 60.0),
    Query("/api/v1/stations", _stations, 60.0),
    Query("/api/v1/stations/{station}", _station, 60.0),
    Query("/api/v1/fields/{time}", _fields, 60.0),
    Query("/api/v1/fields/{time}/{kind}/{channel}", _field, 600.0, BYTES),
)
