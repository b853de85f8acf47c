"""A real daemon at work while the page is open, and every metric that rules and dashboard name."""

import re
from pathlib import Path

import httpx

from tests.browser.browser import browser
from tests.cycle.small_world import START, config, hours, soundings
from tests.service.test_daemon import running

ROOT = Path(__file__).resolve().parents[2]
CYCLE_SECONDS = 600.0
"""More than a cycle takes on the busiest machine."""
BEGUN = "return [...document.querySelectorAll('.cell')].map(c => c.dataset.cell)"
RUNS = '.cell.busy[data-cell="2021030200-delayed"] .steps .busy'


def test_page_follows_a_daemon_without_reloading(tmp_path: Path, tiny_bundle_path: Path) -> None:
    times = [hours(0), hours(12)]
    archive = soundings(tmp_path / "archive", times)
    cycle = {"first": START, "cutoff_hours": 12, "early_stream": False}
    slow = {"members": 4, "chunk": 1, "threads": 1}  # longer than the page takes to look again
    chosen = config(tmp_path, archive, tiny_bundle_path, cycle=cycle, ensemble=slow, assimilation={"steps": 400})
    with running(chosen, hours(37)) as daemon, browser() as page:
        address = daemon.until("started")["url"]
        daemon.until("cycle_end", cycle="2021-03-01T12")
        page.open(address)
        page.until(lambda: page.script(BEGUN) == ["2021030100-delayed", "2021030112-delayed"])
        page.script("window.untouched = true")
        soundings(archive, [*times, hours(24)])
        page.until(lambda: page.script(f"return document.querySelector('{RUNS}') !== null"))
        page.until(lambda: "Healthy · running 2021-03-02 00 UTC" in page.text(".verdict"))
        page.until(lambda: page.script("return (document.querySelector('progress')?.value || 0) > 0"))
        assert "running: assimilate" in page.text(".detail:not([hidden])")
        page.shoot("running")
        page.until(lambda: page.data("field") == "mean t850 2021-03-02T00:00:00Z", CYCLE_SECONDS)
        page.until(lambda: page.text(".cards").count("2021-03-02 00"))
        page.until(lambda: "2021-03-02T00 delayed published" in page.text("#events"))
        page.until(lambda: "2021-03-02 00 UTC" in page.text("#departures"))
        assert "2021-03-02 00 UTC" in page.text(".detail:not([hidden])")
        assert page.script("return window.untouched")
        page.shoot("live")
        assert page.complaints() == []
        told = httpx.get(f"{address}metrics").text
        assert httpx.get(f"{address}api/v1/status").json()["verdict"]["level"] in ("good", "busy")
    families = set(re.findall(r"^# TYPE (\S+)", told, re.M))
    named = {
        name
        for path in ("deploy/prometheus/alerts.yml", "deploy/grafana/dashboards/dacycle.json")
        for name in re.findall(r"\bdacycle_[a-z_]+\b", (ROOT / path).read_text())
    }
    assert named <= families
