"""The HTTP side through a real server on loopback, over a ledger written by hand."""

import contextlib
import json
import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.owed import SOURCE_NEWEST
from dacycle.cycler.cycle.records import Counts, Departure, Statistics, format_time
from dacycle.cycler.cycle.report import status_json
from dacycle.cycler.cycle.states import STATE_OF, Stage, State, Stream
from tests.service.site import Fine, site

START = datetime(2021, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=6)
NAMES = {
    "dacycle_cycle_last_success_timestamp_seconds",
    "dacycle_cycle_duration_seconds",
    "dacycle_cycles",
    "dacycle_cycle_lag_seconds",
    "dacycle_observations",
    "dacycle_observation_newest_age_seconds",
    "dacycle_omb_bias",
    "dacycle_omb_rms",
    "dacycle_oma_bias",
    "dacycle_oma_rms",
    "dacycle_spread_skill_ratio",
    "dacycle_archive_free_bytes",
    "dacycle_build_info",
    "dacycle_free_forecast_streak",
    "dacycle_archive_size_bytes",
    "dacycle_soundings",
    "dacycle_omb_bias_limit",
    "dacycle_omb_rms_limit",
    "dacycle_omb_rms_hard_limit",
    "dacycle_period_complete",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate({"paths": {"state": tmp_path / "state"}, "service": {"port": 0}})


@pytest.fixture
def health() -> Fine:
    return Fine(NOW, "2021-03-02 12 UTC delayed: assimilate")


@pytest.fixture
def client(config: Config, health: Fine) -> Iterator[httpx.Client]:
    with site(config, health) as address, httpx.Client(base_url=address) as opened:
        yield opened


@pytest.fixture
def filled(config: Config) -> Config:
    """Published, free forecast, failed with a reason full of markup; one product."""
    with Ledger.open(config.paths.state) as ledger:
        for number, end in enumerate([State.PUBLISHED, State.PUBLISHED_FREE_FORECAST, State.FAILED]):
            time = START + number * timedelta(hours=12)
            cycle = ledger.add_cycle(time, Stream.DELAYED, NOW).id
            for stage in Stage:
                ledger.move(cycle, STATE_OF[stage], NOW)
                ledger.begin_stage(cycle, stage, NOW)
                ledger.end_stage(cycle, stage, 1.5)
            ledger.move(cycle, end, NOW, "<script>alert(1)</script>" if end == State.FAILED else "")
            if end == State.PUBLISHED:
                values = {"t850": {"used": 80, "background": 3}, "2t": {"withheld": 9}}
                ledger.set_counts(cycle, Counts(90, 80, 9, values))
                departure = {"t850": Departure(80, 0.5, 1.5), "2t": Departure(2, math.nan, math.nan)}
                ledger.set_statistics(cycle, Statistics(departure, departure, {"t850": 0.9, "2t": math.nan}))
        ledger.set_note(SOURCE_NEWEST, format_time(START))
        ledger.tell("the source cannot be read: <b>", NOW, "warning")
    with contextlib.closing(sqlite3.connect(config.paths.state / "ledger.sqlite")) as db, db:
        db.execute("INSERT INTO covariances VALUES (1, 'observation', 't850', 1.3125), (1, 'bias', 't850:0', 0.1)")
    folder = config.paths.state / "products/2021/03/01/00"
    folder.mkdir(parents=True)
    (folder / "analysis.nc").write_bytes(bytes(range(256)) * 40)
    (folder / ".00.staging").mkdir()
    (folder / ".00.staging" / "half.nc").write_bytes(b"half")
    return config


def test_before_anything_has_run_the_page_says_so(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "Nothing has run yet" in page.text
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/metrics").status_code == 200
    assert client.get("/products/2021/03/01/00/analysis.nc").status_code == 404
    told = client.get("/api/v1/cycles")
    assert told.status_code == 503
    assert "nothing has run" in told.json()["error"]


@pytest.mark.usefixtures("filled")
def test_page_shows_states_reasons_and_departures_with_markup_escaped(client: httpx.Client) -> None:
    page = client.get("/").text
    for text in (
        "published with soundings",
        "published as a forecast: no soundings",
        "✗ failed",
        "t850",
        "The cycle of 2021-03-02 00 UTC failed",
        "assimilate",
        "6 days old",
        "48 hours late",
    ):
        assert text in page
    assert "times as fast" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "Observation errors: factor of the variance in the table" in page
    assert "<b>1.31</b>" in page
    assert "style=" not in page  # the content security policy would refuse it


@pytest.mark.usefixtures("filled")
def test_a_demo_says_how_fast_its_clock_runs_and_tells_delays_on_the_readers(
    client: httpx.Client, health: Fine
) -> None:
    health.says(speed=360.0)
    page = client.get("/").text
    assert "demo: the clock runs 360 times as fast" in page
    assert "8 minutes late" in page
    assert 'class="watch"' not in page.split("Next due")[1].split("Newest sounding")[0]
    assert "2021-03-01 00" in page.split("Newest sounding")[1].split("</dd>")[0]


def test_readiness_follows_the_daemon(client: httpx.Client, health: Fine) -> None:
    assert client.get("/readyz").status_code == 200
    health.says(trouble="the worker has ended")
    told = client.get("/readyz")
    assert (told.status_code, told.text) == (503, "the worker has ended\n")
    assert client.get("/healthz").status_code == 200  # it must be told, not restarted
    health.says(stalled="no progress for 40 minutes")
    told = client.get("/healthz")
    assert (told.status_code, told.text) == (503, "no progress for 40 minutes\n")


def test_metrics_have_the_names_and_values_of_the_ledger(client: httpx.Client, filled: Config) -> None:
    families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    assert set(families) == NAMES
    assert all(family.documentation for family in families.values())

    def value(name: str, **labels: str) -> float:
        [found] = [s.value for s in families[name].samples if labels.items() <= s.labels.items()]
        return found

    assert value("dacycle_cycles", outcome="published") == 1
    assert value("dacycle_cycles", outcome="failed") == 1
    assert value("dacycle_cycle_duration_seconds", stage="ingest") == 1.5
    assert value("dacycle_observations", status="used", variable="t") == 80
    assert value("dacycle_observations", status="rejected", reason="background", variable="t") == 3
    assert value("dacycle_omb_rms", variable="t", level="850") == 1.5
    assert math.isnan(value("dacycle_oma_bias", variable="t", level="surface"))
    assert value("dacycle_observation_newest_age_seconds") == 6 * 86400
    assert value("dacycle_cycle_lag_seconds") == (NOW - START - timedelta(hours=24 + 72)).total_seconds()
    assert value("dacycle_free_forecast_streak") == 1


def test_api_tells_what_status_tells(client: httpx.Client, filled: Config) -> None:
    told = client.get("/api/v1/cycles")
    with History.read(filled.paths.state) as history:
        assert told.json() == json.loads(json.dumps(status_json(history, filled, NOW), allow_nan=False))
    assert told.json()["cycles"][0]["omb"]["2t"] == {"n": 2, "bias": None, "rms": None}
    assert len(client.get("/api/v1/cycles?newest=1").json()["cycles"]) == 1
    one = client.get("/api/v1/cycles/2021-03-01T12:00:00Z").json()
    assert one["state"] == "published_free_forecast"
    assert client.get("/api/v1/events").json()["events"][0]["text"] == "the source cannot be read: <b>"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/cycles?newest=0", 400),
        ("/api/v1/cycles?newest=99999999999999999999", 400),
        ("/api/v1/cycles?newest=²", 400),
        ("/api/v1/cycles/yesterday", 400),
        ("/api/v1/cycles/2021-03-01", 400),
        ("/api/v1/cycles/2021-03-01T00:00:00Z?stream=late", 400),
        ("/api/v1/cycles/2031-03-01T00:00:00Z", 404),
        ("/nothing", 404),
    ],
)
@pytest.mark.usefixtures("filled")
def test_wrong_requests_get_a_reason(client: httpx.Client, path: str, status: int) -> None:
    told = client.get(path)
    assert told.status_code == status
    assert told.json()["error"]


def test_a_browser_gets_a_page_for_what_is_not_there_and_programs_get_json(client: httpx.Client) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    told = client.get("/products/2001/<b>", headers=browser)
    assert told.status_code == 404
    assert told.headers["content-type"].startswith("text/html")
    assert '<a href="/">' in told.text
    assert "<b>" not in told.text
    assert client.get("/api/v1/nothing", headers=browser).json()["error"]
    assert client.get("/nothing").json()["error"]


@pytest.mark.usefixtures("filled")
def test_products_come_whole_and_in_ranges(client: httpx.Client) -> None:
    path = "/products/2021/03/01/00/analysis.nc"
    whole = client.get(path)
    assert whole.content == bytes(range(256)) * 40
    part = client.get(path, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert client.head(path).headers["content-length"] == "10240"
    assert client.get("/products/2021/03/01/00/.00.staging/half.nc").status_code == 404
    assert client.get("/products/2021/03/01/00").status_code == 404


def test_every_answer_carries_security_headers(client: httpx.Client) -> None:
    for path in ("/", "/healthz", "/nothing", "/assets/style.css", "/api/v1/cycles"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_the_page_starts_without_the_networks_libraries() -> None:
    """They take seconds to load, and the first request would wait for them."""
    code = "import sys, dacycle.cycler.service.server; print({'torch', 'jax'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
