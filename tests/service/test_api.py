"""The API against its own description; requests with a token; answers that are kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.requests import requests
from tests.cycle.small_world import STATIONS, hours
from tests.service.site import TOKEN, Fine, site, two_published, writable
from tests.tools import require_module

BEARER = {"Authorization": f"Bearer {TOKEN}"}
HOLD = "/api/v1/cycles/2021-03-01T12:00:00Z/hold"
THERE: dict[str, dict[str, str]] = {
    "cycle": {"time": "2021-03-01T12:00:00Z"},
    "series": {"channel": "t850"},
    "station": {"station": next(iter(STATIONS))},
    "fields": {"time": "2021-03-01T12:00:00Z"},
    "field": {"time": "2021-03-01T12:00:00Z", "kind": "increment", "channel": "t850"},
    "ask": {"time": "2021-03-01T12:00:00Z", "kind": "hold"},
}
"""Operation -> what to ask for in its path, so that there is an answer."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bundle_path: Path) -> Config:
    return two_published(tmp_path_factory.mktemp("api"), tiny_bundle_path)


@pytest.fixture(scope="module")
def address(world: Config) -> Iterator[str]:
    with site(world, Fine(hours(21))) as told:
        yield told


def test_the_description_holds(world: Config) -> None:
    """schemathesis asks what the description allows, and what it forbids, and compares every answer."""
    schemathesis, hypothesis = require_module("schemathesis"), require_module("hypothesis")
    quiet = {"deadline": None, "database": None, "derandomize": True}
    statuses: dict[str, set[int]] = {}

    def asked(operation: Any, mode: Any, examples: int) -> None:
        @hypothesis.settings(max_examples=examples, suppress_health_check=list(hypothesis.HealthCheck), **quiet)
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            found = case.call_and_validate(headers=BEARER)
            statuses[operation.definition.raw["operationId"]].add(found.status_code)

        check()

    with writable(world) as address:
        schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")
        for result in schema.get_all_operations():
            operation = result.ok()
            name = operation.definition.raw["operationId"]
            statuses[name] = set()
            asked(operation, schemathesis.GenerationMode.POSITIVE, 12)
            if operation.path_parameters or operation.query:
                asked(operation, schemathesis.GenerationMode.NEGATIVE, 8)
            there = operation.Case(path_parameters=THERE.get(name, {}))
            assert there.call_and_validate(headers=BEARER).status_code == (202 if name == "ask" else 200), name
    assert len(statuses) == 12
    assert set(THERE) <= set(statuses)
    assert max(max(found) for found in statuses.values()) < 500
    assert {400} <= statuses["cycles"] & statuses["series"] & statuses["field"]


def test_the_right_token_enters_a_request(world: Config) -> None:
    with writable(world) as address:
        told = httpx.post(f"{address}{HOLD}", headers=BEARER)
        assert (told.status_code, told.json()["kind"]) == (202, "hold")
        assert httpx.get(f"{address}/api/v1/requests").json()["requests"][0]["kind"] == "hold"
    with History.read(world.paths.state) as history:
        entered = requests(history)[0]
    assert (entered.id, entered.kind, entered.time) == (told.json()["request"], "hold", hours(12))
    assert entered.by == "http 127.0.0.1"


def test_answers_are_kept_compressed_and_never_stale(world: Config, address: str) -> None:
    with httpx.Client(base_url=address) as client:
        first = client.get("/api/v1/cycles")
        assert first.headers["content-encoding"] == "gzip"
        tag = first.headers["etag"]
        again = client.get("/api/v1/cycles", headers={"if-none-match": tag})
        assert (again.status_code, again.content) == (304, b"")
        plain = client.get("/api/v1/cycles", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.json() == first.json()
        before = client.get("/api/v1/events").json()["events"]
        with open_engine(world, hours(22)) as engine:
            engine.ledger.tell("something new", hours(22))
        assert client.get("/api/v1/events").json()["events"][1:] == before
        script = client.get("/").text.split('src="/assets/page.js?v=')[1].split('"')[0]
        kept = client.get(f"/assets/page.js?v={script}")
        assert "immutable" in kept.headers["cache-control"]
