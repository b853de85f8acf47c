"""The API against its own description, and against clients that mean no good."""

import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.requests import requests
from dacycle.cycler.service import guard
from tests.cycle.small_world import START, config, hours, soundings
from tests.service.site import Fine, site
from tests.tools import require_module

TOKEN = "correct-horse-battery-staple"
HELD = "/api/v1/cycles/2021-03-01T12:00:00Z/hold"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bundle_path: Path) -> Config:
    root = tmp_path_factory.mktemp("api")
    chosen = config(root, soundings(root / "archive", [hours(0), hours(12)]), tiny_bundle_path, cycle={"first": START})
    with open_engine(chosen, hours(20)) as engine:
        engine.run(hours(0), hours(20))
        engine.run(hours(12), hours(20))
        engine.look(hours(20))
    return chosen


@pytest.fixture(scope="module")
def address(world: Config) -> Iterator[str]:
    with site(world, Fine(hours(21))) as told:
        yield told


@contextmanager
def writable(world: Config, token: str = TOKEN) -> Iterator[str]:
    path = world.paths.state.parent / "token"
    path.write_text(token + "\n")
    service = world.service.model_copy(update={"token_file": path})
    with site(world.model_copy(update={"service": service}), Fine(hours(21))) as told:
        yield told


def contents(state: Path) -> dict[str, str]:
    """Hash of every file, but those that SQLite's readers touch."""
    files = [p for p in sorted(state.rglob("*")) if p.is_file() and p.suffix != ".sqlite-shm"]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_description_holds(world: Config) -> None:
    """schemathesis asks what the description allows, and what it forbids, and compares every answer."""
    schemathesis = require_module("schemathesis")
    hypothesis = require_module("hypothesis")
    with writable(world) as address:
        schema = schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json")
        asked = 0
        for result in schema.get_all_operations():
            operation = result.ok()

            @hypothesis.settings(max_examples=12, deadline=None, database=None, derandomize=True)
            @hypothesis.given(case=operation.as_strategy())
            def check(case: object) -> None:
                nonlocal asked
                asked += 1
                case.call_and_validate()  # type: ignore[attr-defined]

            check()
            for mode in (schemathesis.GenerationMode.NEGATIVE,):

                @hypothesis.settings(
                    max_examples=8,
                    deadline=None,
                    database=None,
                    derandomize=True,
                    suppress_health_check=list(hypothesis.HealthCheck),
                )
                @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
                def refuse(case: object) -> None:
                    nonlocal asked
                    asked += 1
                    case.call_and_validate()  # type: ignore[attr-defined]

                if operation.path_parameters or operation.query:
                    refuse()
    assert asked > 100


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/products/../ledger.sqlite", {}, 404),
        ("/products/%2e%2e%2fledger.sqlite", {}, 404),
        ("/products/2021/03/01/00/analysis.nc%00.txt", {}, 404),
        ("/products/" + "a/" * 2000, {}, 404),
        ("/assets/../http.py", {}, 404),
        ("/assets/%2e%2e/page.py", {}, 404),
        ("/products/2021/03/01/00/analysis.nc", {"range": "bytes=0-1," * 5000 + "0-1"}, 416),
        ("/products/2021/03/01/00/analysis.nc", {"range": "bytes=99999999999999999999-"}, 416),
        ("/products/2021/03/01/00/analysis.nc", {"range": "bytes=5-2"}, 400),
        ("/products/2021/03/01/00/analysis.nc", {"range": "stones=0-1"}, 400),
        ("/api/v1/cycles?newest=1e9", {}, 400),
        ("/api/v1/series/t850?days=-1", {}, 400),
        ("/api/v1/series/t٨٥٠", {}, 400),
        ("/api/v1/series/z99999", {}, 400),
        ("/api/v1/stations/../../etc/passwd", {}, 404),
        ("/api/v1/stations/%27%3B%20DROP%20TABLE%20cycles", {}, 400),
        ("/api/v1/fields/2021-03-01T00:00:00Z/mean/t850?stream=%00", {}, 400),
        ("/api/v1/fields/9999-99-99T00:00:00Z", {}, 400),
        ("/api/v1/fields/2021-03-01T00:00:00Z/increment/t850", {}, 404),
        ("/", {"Host": "evil.example", "x-forwarded-for": "1.2.3.4" * 50}, 200),
        ("/", {"content-length": "99999999999"}, 413),
    ],
)
def test_hostile_requests_get_a_clean_answer(address: str, path: str, headers: dict[str, str], status: int) -> None:
    host, port = address.removeprefix("http://").split(":")
    told = {"Host": host, "Connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        answer = b""
        while block := raw.recv(65536):
            answer += block
    assert int(answer.split(b" ", 2)[1]) == status
    assert b"Traceback" not in answer
    assert b"SQLite" not in answer


def test_nothing_of_that_changed_anything(world: Config, address: str) -> None:
    before = contents(world.paths.state)
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        for path in ("/", "/api/v1/cycles", "/products/2021/03/01/00/analysis.nc", "/metrics", "/assets/page.js"):
            assert httpx.request(method, f"{address}{path}").status_code == 405
    assert httpx.post(f"{address}{HELD}").status_code == 403  # off by default
    assert contents(world.paths.state) == before


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ä" * 99]
)
def test_a_bad_token_opens_nothing(world: Config, header: str) -> None:
    with writable(world) as address:
        told = httpx.post(f"{address}{HELD}", headers={"authorization": header.encode()} if header else {})
        assert told.status_code == 401
        assert told.headers["www-authenticate"] == "Bearer"
    with History.read(world.paths.state) as history:
        assert [r for r in requests(history) if r.by == "nobody"] == []


def test_the_right_token_enters_a_request(world: Config) -> None:
    with writable(world) as address, httpx.Client(headers={"authorization": f"Bearer {TOKEN}"}) as client:
        told = client.post(f"{address}{HELD}")
        assert (told.status_code, told.json()["kind"]) == (202, "hold")
        assert client.post(f"{address}/api/v1/cycles/2021-03-01T12:00:00Z/erase").status_code == 404
        assert client.post(f"{address}/api/v1/cycles/2021-03-01T13:00:00Z/hold").status_code == 400
        assert client.post(f"{address}{HELD}", content=b"{}").status_code == 400
        assert client.get(f"{address}/api/v1/requests").json()["requests"][0]["kind"] == "hold"
    with History.read(world.paths.state) as history:
        entered = requests(history)[0]
    assert (entered.id, entered.kind, entered.time) == (told.json()["request"], "hold", hours(12))
    assert entered.by == "http 127.0.0.1"
    with writable(world, token="short") as address:
        refused = httpx.post(f"{address}{HELD}", headers={"authorization": "Bearer short"})
        assert refused.status_code == 403


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


def test_slow_clients_are_let_go_and_others_served(
    address: str, world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.5)
    with site(world, Fine(hours(21))) as slow:
        host, port = slow.removeprefix("http://").split(":")
        dawdling = [socket.create_connection((host, int(port)), timeout=10) for _ in range(60)]
        for number, raw in enumerate(dawdling):
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " if number % 2 else b"")
        began = time.monotonic()
        assert httpx.get(f"{slow}/healthz").status_code == 200
        for raw in dawdling:
            while raw.recv(4096):  # a 400 or nothing, then the end
                pass
            raw.close()
        assert time.monotonic() - began < 8
        assert httpx.get(f"{slow}/healthz").status_code == 200


def test_a_request_whose_head_never_ends_is_cut_off(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answer, sent = b"", 0
        with suppress(ConnectionError):  # it may hang up while we are still sending
            for number in range(2000):
                sent += raw.send(f"X-{number}: {'x' * 1000}\r\n".encode())
                time.sleep(0.001)
        with suppress(ConnectionError):
            answer = raw.recv(4096)
    assert sent < 1_900_000
    assert answer.startswith(b"HTTP/1.1 400") or not answer  # a reset may overtake the answer
    assert httpx.get(f"{address}/healthz").status_code == 200
