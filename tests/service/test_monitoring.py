"""Alerts, dashboard, runbook and the list of metrics against each other and against what is really exported."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dacycle.cycler.service.page import runbook
from tests.cycle.small_world import config, soundings
from tests.service.processes import running
from tests.service.year import NEWEST, NOW, write_year
from tests.tools import require_tool

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus"
DASHBOARD = ROOT / "deploy/grafana/dashboards/dacycle.json"
METRIC = re.compile(r"\bdacycle_[a-z_]+\b")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tiny_bundle_path: Path) -> str:
    """What a running daemon with a month of history exports."""
    root = tmp_path_factory.mktemp("monitored")
    write_year(root / "state", days=30)
    archive = soundings(root / "archive", [NEWEST])
    chosen = config(root, archive, tiny_bundle_path, cycle={"early_stream": False})
    with running(chosen, NOW) as daemon:
        address = daemon.until("started")["url"]
        return httpx.get(f"{address}metrics").text


def promtool(*arguments: str, given: str = "") -> str:
    done = subprocess.run(
        [require_tool("promtool"), *arguments], input=given, capture_output=True, text=True, cwd=RULES, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def samples(exported: str) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(exported) for sample in family.samples}


def test_rules_and_configuration_are_right() -> None:
    assert "10 rules found" in promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_and_clears() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")
    alerts = re.findall(r"- alert: (\w+)", (RULES / "alerts.yml").read_text())
    tested = re.findall(r"- name: (\w+) fires and clears", (RULES / "alerts.test.yml").read_text())
    assert sorted(alerts) == sorted(tested)


def test_what_is_exported_is_clean(exported: str) -> None:
    assert promtool("check", "metrics", given=exported) == ""


@pytest.mark.parametrize("path", [RULES / "alerts.yml", DASHBOARD], ids=["alerts", "dashboard"])
def test_every_metric_that_is_named_is_exported(path: Path, exported: str) -> None:
    named = set(METRIC.findall(path.read_text()))
    assert len(named) > 8
    assert named <= samples(exported)


def test_the_list_of_metrics_is_complete(exported: str) -> None:
    assert set(METRIC.findall((ROOT / "docs/metrics.md").read_text())) == samples(exported)


def test_labels_are_bounded(exported: str) -> None:
    allowed = {"version", "stream", "stage", "outcome", "status", "reason", "variable", "level"}
    families = list(text_string_to_metric_families(exported))
    assert {label for f in families for s in f.samples for label in s.labels} <= allowed
    assert sum(len(f.samples) for f in families) < 300


def test_every_alert_and_every_hint_has_its_entry_in_the_runbook() -> None:
    links = set(re.findall(r"/runbook#(\w+)", (RULES / "alerts.yml").read_text()))
    sources = [(ROOT / "cycler/service" / name).read_text() for name in ("verdict.py", "advice.py")]
    alerts = {a.lower() for a in re.findall(r"- alert: (\w+)", (RULES / "alerts.yml").read_text())}
    assert links == alerts
    entries = set(re.findall(r'<h2 id="(\w+)"', runbook()))
    assert alerts <= entries
    hinted = {word for text in sources for word in re.findall(r'"(\w+)"\)', text) if word in entries | alerts}
    assert len(hinted) > 6


def test_dashboard_is_provisioned_and_whole(tmp_path: Path) -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "dacycle"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 12
    asked = {target["expr"] for panel in board["panels"] for target in panel["targets"]}
    rules = [{"record": f"panel:{n}", "expr": expr.replace("$", "")} for n, expr in enumerate(sorted(asked))]
    (tmp_path / "panels.json").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", str(tmp_path / "panels.json"))
    provisioning = (ROOT / "deploy/grafana/provisioning/dashboards/dacycle.yml").read_text()
    assert "/var/lib/grafana/dashboards" in provisioning
