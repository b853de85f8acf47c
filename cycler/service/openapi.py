"""The API's description (OpenAPI 3.1), from which its tests are generated."""

import json
from importlib.metadata import version
from typing import Any

from dacycle.cycler.cycle.states import State
from dacycle.cycler.service.asking import KINDS as REQUESTS
from dacycle.cycler.service.coverage import CLASSES
from dacycle.cycler.service.maps import KINDS

__all__ = ["description"]

Schema = dict[str, Any]

TIME: Schema = {"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
NUMBER: Schema = {"type": ["number", "null"]}
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}


def description() -> bytes:
    """The document."""
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "dacycle",
                "version": "1",
                "description": f"What the cycle did and does, as JSON; served by dacycle {version('dacycle')}. Answers "
                "carry an ETag and are compressed; 503 means that nothing has run yet, or that the ledger is damaged.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": _paths(),
            "components": {
                "schemas": {"Error": _object({"error": TEXT}), "Cycle": _cycle()},
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        },
        indent=1,
    ).encode()


def _paths() -> Schema:
    time, stream = _in_path("time", TIME, "analysis time"), _query("stream", _one_of("delayed", "early"), "delayed")
    channel = _in_path("channel", {"type": "string", "pattern": r"^(2t|10u|10v|sp|[tuvqz][1-9]\d{0,3})$"}, "as t850")
    station = _in_path("station", {"type": "string", "pattern": "^[A-Z0-9_-]{1,11}$"}, "IGRA's 11-character ID")
    kind = _in_path("kind", _one_of(*KINDS), "of the ensemble's analysis, or of its change by the soundings")
    days = {"type": "integer", "minimum": 1, "maximum": 800}
    return {
        "/api/v1/status": _get("status", "One look: verdict, newest, next due, lateness, source, disk", [], _status()),
        "/api/v1/cycles": _get(
            "cycles",
            "The newest cycles, oldest first, as dacycle status --json",
            [_query("newest", {"type": "integer", "minimum": 1, "maximum": 2000}, 200)],
            _object(
                {
                    "cycles": _list({"$ref": "#/components/schemas/Cycle"}),
                    "next_due": _or_null(TIME),
                    "source_age_seconds": NUMBER,
                }
            ),
        ),
        "/api/v1/cycles/{time}": _get(
            "cycle", "One cycle", [time, stream], {"$ref": "#/components/schemas/Cycle"}, missing=True
        ),
        "/api/v1/cycles/{time}/{kind}": {"post": _ask(time)},
        "/api/v1/events": _get(
            "events",
            "The log in plain words, newest first",
            [_query("newest", {"type": "integer", "minimum": 1, "maximum": 2000}, 100)],
            _object(
                {"events": _list(_object({"at": TIME, "level": _one_of("info", "warning", "error"), "text": TEXT}))}
            ),
        ),
        "/api/v1/requests": _get(
            "requests",
            "What operators asked for, newest first",
            [_query("newest", {"type": "integer", "minimum": 1, "maximum": 500}, 50)],
            _object({"requests": _list({"type": "object"})}),
        ),
        "/api/v1/series/{channel}": _get(
            "series",
            "Departures and spread of a channel by cycle, in columns",
            [channel, _query("days", days, 90)],
            _object(
                {
                    "channel": TEXT,
                    "long_name": TEXT,
                    "units": TEXT,
                    "time": _list({"type": "integer"}),
                    **{
                        name: _list(NUMBER)
                        for name in ("n", "omb_bias", "omb_rms", "oma_bias", "oma_rms", "spread_skill")
                    },
                    "limit": _or_null(_object({"bias": NUMBER, "rms": NUMBER})),
                }
            ),
        ),
        "/api/v1/ranks": _get(
            "ranks",
            "Rank histograms of the used values among the background's members",
            [_query("days", days, 30)],
            _object({"ranks": {"type": "object", "additionalProperties": _list(COUNT)}}),
        ),
        "/api/v1/stations": _get(
            "stations", "Stations of the newest cycle and of the 30 days before it", [], _stations(), missing=True
        ),
        "/api/v1/stations/{station}": _get(
            "station", "A station's 30 days and its newest values", [station], {"type": "object"}, missing=True
        ),
        "/api/v1/fields/{time}": _get(
            "fields",
            "What can be drawn of a cycle",
            [time, stream],
            _object({"time": TIME, "kinds": _list(_one_of(*KINDS)), "channels": _list(TEXT)}),
            missing=True,
        ),
        "/api/v1/fields/{time}/{kind}/{channel}": _get(
            "field",
            "A field: a line of JSON (nlat, nlon, lat, low, high, units), then nlat x nlon unsigned 16-bit integers, "
            "little endian, north to south, from 0 eastward: value = low + (high - low) * integer / 65535",
            [time, kind, channel, stream],
            None,
            missing=True,
        ),
    }


def _get(name: str, text: str, parameters: list[Schema], schema: Schema | None, missing: bool = False) -> Schema:
    content = {"application/octet-stream": {}} if schema is None else {"application/json": {"schema": schema}}
    responses: Schema = {
        "200": {"description": "as described", "content": content},
        "304": {"description": "not changed since the ETag given"},
        "503": _error("nothing has run yet, or the ledger cannot be read"),
    }
    if parameters:
        responses["400"] = _error("a parameter that is not as described")
    if missing:
        responses["404"] = _error("there is no such thing")
    operation = {"operationId": name, "summary": text, "parameters": parameters, "responses": responses}
    return {"get": operation}


def _ask(time: Schema) -> Schema:
    return {
        "operationId": "ask",
        "summary": "Hold, release, skip or rerun a cycle; the daemon answers at its next waking",
        "security": [{"token": []}],
        "parameters": [time, _in_path("kind", _one_of(*REQUESTS), "what is asked")],
        "responses": {
            "202": {
                "description": "entered",
                "content": {
                    "application/json": {
                        "schema": _object({"request": COUNT, "kind": TEXT, "time": TIME, "answer": TEXT})
                    }
                },
            },
            "400": _error("a parameter that is not as described, or a body"),
            "401": _error("without the right token"),
            "403": _error("such requests are off"),
            "404": _error("no analysis time, or no such kind of request"),
            "408": _error("the body took too long"),
            "413": _error("the body is too large"),
            "503": _error("nothing has run yet, or the ledger cannot be read"),
        },
    }


def _cycle() -> Schema:
    departures: Schema = {
        "type": "object",
        "additionalProperties": _object({"n": COUNT, "bias": NUMBER, "rms": NUMBER}),
    }
    counts: Schema = {"type": "object", "additionalProperties": COUNT}
    numbers: Schema = {"type": "object", "additionalProperties": NUMBER}
    told = {
        "time": TIME,
        "stream": _one_of("delayed", "early"),
        "state": _one_of(*map(str, State)),
        "background": _one_of("forecast", "none"),
        "stages": numbers,
        "soundings": _object({"received": COUNT, "used": COUNT, "withheld": COUNT}),
        "values": _object({"used": COUNT, "withheld": COUNT, "rejected": counts}),
        "omb": departures,
        "oma": departures,
        "spread_skill": numbers,
        "reason": TEXT,
        "held": {"type": "boolean"},
        "version": COUNT,
        "attempts": COUNT,
    }
    return _object(told)


def _status() -> Schema:
    return _object(
        {
            "now": TIME,
            "verdict": _object(
                {
                    "level": _one_of("good", "busy", "watch", "bad"),
                    **dict.fromkeys(("headline", "why", "advice", "runbook"), TEXT),
                }
            ),
            "busy": _object({"what": TEXT, "done": COUNT, "total": COUNT}),
            "newest": _or_null(TIME),
            "newest_version": {"type": ["integer", "null"]},
            "next_due": _or_null(TIME),
            "late_seconds": NUMBER,
            "complete": {"type": "boolean"},
            "free_forecast_streak": COUNT,
            "source_newest": _or_null(TIME),
            "source_seen": _or_null(TIME),
            "disk_free_bytes": COUNT,
            "disk_size_bytes": COUNT,
        }
    )


def _stations() -> Schema:
    station = {
        "station": TEXT,
        "lat": {"type": "number", "minimum": -90, "maximum": 90},
        "lon": {"type": "number", "minimum": -180, "maximum": 360},
        "class": _one_of(*CLASSES),
        "used": COUNT,
        "withheld": COUNT,
        "rejected": COUNT,
        "received": {"type": ["integer", "null"]},
        "expected": {"type": ["integer", "null"]},
        "omb": NUMBER,
        "blacklisted": _list(TEXT),
    }
    return _object({"time": TIME, "days": COUNT, "stations": _list(_object(station))})


def _object(properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def _in_path(name: str, schema: Schema, text: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": text}


def _query(name: str, schema: Schema, default: Any) -> Schema:
    return {"name": name, "in": "query", "schema": {**schema, "default": default}}


def _error(text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
