"""Clients that mean no good: each gets a clean status, and not a row or a byte of the state changes."""

import hashlib
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.service import asking, guard
from dacycle.cycler.service.asking import KINDS
from tests.cycle.small_world import hours
from tests.service.site import TOKEN, Fine, site, two_published, writable

ANALYSIS = "/products/2021/03/01/00/analysis.nc"
CYCLE = "/api/v1/cycles/2021-03-01T12:00:00Z"
LARGE = 64 * 2**20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bundle_path: Path) -> Config:
    """Two published cycles, and a product that no socket's buffer holds."""
    chosen = two_published(tmp_path_factory.mktemp("hostile"), tiny_bundle_path)
    with (chosen.paths.state / "products/large.nc").open("wb") as large:
        large.truncate(LARGE)
    return chosen


@pytest.fixture(scope="module")
def address(world: Config) -> Iterator[str]:
    with site(world, Fine(hours(21))) as told:
        yield told


def kept(state: Path) -> dict[str, str]:
    """Hashes of all that the state holds: every row of the ledger, every byte of the other files."""
    with closing(sqlite3.connect(f"{(state / 'ledger.sqlite').as_uri()}?mode=ro", uri=True)) as ledger:
        rows = "\n".join(ledger.iterdump())
    assert "2021-03-01T12" in rows
    files = [p for p in sorted(state.rglob("*")) if p.is_file() and not p.name.startswith("ledger.sqlite")]
    hashes = {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    return {**hashes, "ledger": hashlib.sha256(rows.encode()).hexdigest()}


@pytest.fixture(autouse=True)
def _nothing_changes(world: Config) -> Iterator[None]:
    before = kept(world.paths.state)
    assert len(before) > 4
    yield
    assert kept(world.paths.state) == before


def connected(address: str, buffer: int | None = None) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    raw = socket.socket()
    if buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    raw.settimeout(20)
    raw.connect((host, int(port)))
    return raw


def answer(raw: socket.socket) -> tuple[int, bytes]:
    """Status and everything, to the end of the connection."""
    told = b""
    while block := raw.recv(65536):
        told += block
    return int(told.split(b" ", 2)[1]), told


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        # out of the folders
        ("/products/../ledger.sqlite", {}, 404),
        ("/products/%2e%2e%2fledger.sqlite", {}, 404),
        ("/products/%252e%252e%252fledger.sqlite", {}, 404),
        ("/products/..%5c..%5cledger.sqlite", {}, 404),
        ("/products//etc/passwd", {}, 404),
        ("/products/2021/../../ledger.sqlite", {}, 404),
        ("/products/" + "a/" * 2000, {}, 404),
        (ANALYSIS + "%00.txt", {}, 404),
        ("/assets/../http.py", {}, 404),
        ("/assets/%2e%2e/page.py", {}, 404),
        ("http://elsewhere.example/products/../ledger.sqlite", {}, 404),
        ("/api/v1/stations/../../etc/passwd", {}, 404),
        # ranges that cost more than they bring
        (ANALYSIS, {"range": "bytes=" + "0-1," * 1000 + "0-1"}, 416),
        (ANALYSIS, {"range": "bytes=99999999999999999999-"}, 416),
        (ANALYSIS, {"range": "bytes=5-2"}, 400),
        (ANALYSIS, {"range": "stones=0-1"}, 400),
        # parameters of the API
        ("/api/v1/cycles?newest=1e9", {}, 400),
        ("/api/v1/series/t850?days=-1", {}, 400),
        ("/api/v1/series/t٨٥٠", {}, 400),
        ("/api/v1/series/z99999", {}, 400),
        ("/api/v1/stations/%27%3B%20DROP%20TABLE%20cycles", {}, 400),
        ("/api/v1/fields/2021-03-01T00:00:00Z/mean/t850?stream=%00", {}, 400),
        ("/api/v1/fields/9999-99-99T00:00:00Z", {}, 400),
        ("/api/v1/fields/2021-03-01T00:00:00Z/increment/t850", {}, 404),
        # headers
        ("/", {"Host": "evil.example", "x-forwarded-for": "1.2.3.4" * 50}, 200),
        ("/", {"content-length": "99999999999"}, 413),
        ("/", {"content-length": "-1"}, 400),
        ("/", {"content-length": "²"}, 400),
        ("/", {"content-length": "3", "transfer-encoding": "chunked"}, 400),
        ("/", {"if-none-match": '"' + "0" * 8000 + '"', "accept-encoding": "gzip;q=0,,;"}, 200),
    ],
)
def test_hostile_requests_get_a_clean_answer(address: str, target: str, headers: dict[str, str], status: int) -> None:
    told = {"Host": "dacycle", "Connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    with connected(address) as raw:
        raw.sendall(f"GET {target} HTTP/1.1\r\n".encode() + f"{lines}\r\n".encode("latin-1"))
        found, body = answer(raw)
    assert found == status
    assert b"Traceback" not in body
    assert b"SQLite" not in body


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"GET / HTTP/9.9.9\r\nHost: x\r\n\r\n",
        b"\0" * 99 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"y" * 20000,
    ],
    ids=["TLS", "no such version", "zeros", "a header without end"],
)
def test_what_is_not_http_is_told_so(address: str, sent: bytes) -> None:
    with connected(address) as raw:
        raw.sendall(sent)
        assert answer(raw)[0] == 400
    assert httpx.get(f"{address}/healthz").status_code == 200


def test_no_other_method_does_anything(address: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        for path in ("/", "/api/v1/cycles", ANALYSIS, "/metrics", "/assets/page.js", "/healthz"):
            assert httpx.request(method, f"{address}{path}").status_code == 405


@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_off_by_default(address: str, kind: str) -> None:
    for header in ({}, {"authorization": f"Bearer {TOKEN}"}, {"authorization": "Bearer"}):
        told = httpx.post(f"{address}{CYCLE}/{kind}", headers=header)
        assert told.status_code == 403
        assert "token_file is not set" in told.json()["error"]


BAD_TOKENS = {
    "missing": [],
    "empty": [b""],
    "scheme alone": [b"Bearer"],
    "nothing after the scheme": [b"Bearer "],
    "wrong": [b"Bearer incorrect-horse-battery"],
    "first half of the right one": [f"Bearer {TOKEN[:14]}".encode()],
    "all but the last letter": [f"Bearer {TOKEN[:-1]}".encode()],
    "a letter more": [f"Bearer {TOKEN}x".encode()],
    "twice": [f"Bearer {TOKEN} {TOKEN}".encode()],
    "in capitals": [f"Bearer {TOKEN.upper()}".encode()],
    "without scheme": [TOKEN.encode()],
    "another scheme": [f"Basic {TOKEN}".encode()],
    "a letter of another script": [f"Bearer {TOKEN[:-1]}е".encode()],
    "not UTF-8": [b"Bearer \xff\xfe" + TOKEN.encode()],
    "very long": [b"Bearer " + b"a" * 12000],
    "the right one second": [b"Bearer wrong", f"Bearer {TOKEN}".encode()],
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_opens_nothing(world: Config, name: str) -> None:
    lines = b"".join(b"Authorization: " + value + b"\r\n" for value in BAD_TOKENS[name])
    with writable(world) as address:
        for kind in KINDS:
            with connected(address) as raw:
                start = f"POST {CYCLE}/{kind}?token={TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                raw.sendall(start.encode() + lines + b"Content-Length: 0\r\n\r\n")
                status, told = answer(raw)
            assert status == 401
            head, body = told.split(b"\r\n\r\n", 1)
            assert b"www-authenticate: Bearer" in head
            assert list(json.loads(body)) == ["error"]
            assert TOKEN.encode() not in told


@pytest.mark.parametrize("token", ["", "short", " " * 40])
def test_a_token_that_could_be_guessed_is_none(world: Config, token: str) -> None:
    with writable(world, token) as address:
        told = httpx.post(f"{address}{CYCLE}/hold", headers={"authorization": f"Bearer {token}".strip()})
        assert told.status_code == 403


def test_the_right_token_with_a_wrong_wish_enters_nothing(world: Config) -> None:
    with writable(world) as address, httpx.Client(headers={"authorization": f"Bearer {TOKEN}"}) as client:
        assert client.post(f"{address}{CYCLE}/erase").status_code == 404
        assert client.post(f"{address}/api/v1/cycles/2021-03-01T13:00:00Z/hold").status_code == 404
        assert client.post(f"{address}/api/v1/cycles/2021-03-01/hold").status_code == 400
        assert client.post(f"{address}{CYCLE}/hold", content=b"{}").status_code == 400
        assert client.post(f"{address}{CYCLE}/hold", content=b"x" * 5000).status_code == 413


def test_who_dawdles_over_a_request_is_let_go(world: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REQUEST_SECONDS", 0.5)
    with site(world, Fine(hours(21))) as slow:
        dawdling = [connected(slow) for _ in range(60)]
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
    told, sent = b"", 0
    with connected(address) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        with suppress(ConnectionError):  # it may hang up while we are still sending
            for number in range(2000):
                sent += raw.send(f"X-{number}: {'x' * 1000}\r\n".encode())
                time.sleep(0.001)
        with suppress(ConnectionError):
            told = raw.recv(4096)
    assert sent < 1_900_000
    assert told.startswith(b"HTTP/1.1 400") or not told  # a reset may overtake the answer
    assert httpx.get(f"{address}/healthz").status_code == 200


def test_who_dawdles_over_a_body_is_told_so(world: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "BODY_SECONDS", 0.3)
    head = f"POST {CYCLE}/hold HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 2\r\n\r\n"
    with writable(world) as slow, connected(slow) as raw:
        raw.sendall(head.encode() + b"{")
        status, told = answer(raw)
    assert status == 408
    assert b"took too long" in told


def test_who_does_not_read_is_let_go_without_a_word_in_the_log(
    world: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "SEND_SECONDS", 0.3)
    with site(world, Fine(hours(21))) as slow, connected(slow, buffer=4096) as raw:
        raw.sendall(b"GET /products/large.nc HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1.0)
        assert httpx.get(f"{slow}/healthz").status_code == 200
        read = 0
        while block := raw.recv(65536):
            read += len(block)
        assert read < LARGE / 2
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []
