"""The daemon as a process: real signals, real HTTP on loopback, a second daemon on the same state."""

import os
import signal
import subprocess
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.states import State, Stream
from tests.cycle.small_world import START, config, hours, soundings, toml
from tests.service.processes import ENVIRONMENT, NOW, ROOT, command, running, settled


@pytest.fixture
def chosen(tmp_path: Path, tiny_bundle_path: Path) -> Config:
    source = soundings(tmp_path / "archive", [hours(0), hours(12)])
    cycle = {"first": START, "cutoff_hours": 12, "cutoff_max_hours": 240}
    return config(tmp_path, source, tiny_bundle_path, cycle=cycle, log={"level": "debug"})


def states(chosen: Config) -> list[tuple[datetime, str, State]]:
    with History.read(chosen.paths.state) as history:
        return [(r.time, str(r.stream), r.state) for r in history.cycles()]


DONE = [
    (hours(0), "delayed", State.PUBLISHED),
    (hours(12), "delayed", State.PUBLISHED),
    (hours(24), "early", State.PUBLISHED_FREE_FORECAST),
]


def test_daemon_does_what_is_owed_serves_it_and_ends_on_sigterm(chosen: Config) -> None:
    with running(chosen) as daemon:
        url = daemon.until("started")["url"]
        assert httpx.get(f"{url}healthz").text == "ok\n"
        daemon.until("cycle_end", cycle="2021-03-02T00", stream="early")
        assert httpx.get(f"{url}readyz").status_code == 200
        assert 'dacycle_cycles_total{outcome="published"} 2.0' in httpx.get(f"{url}metrics").text
        told = httpx.get(f"{url}api/v1/cycles").json()
        assert [c["state"] for c in told["cycles"]] == ["published", "published", "published_free_forecast"]
        assert told["next_due"] == "2021-03-02T12:00:00Z"
        assert "2021-03-01 12" in httpx.get(url).text
        product = httpx.get(f"{url}products/2021/03/01/00/analysis.nc")
        assert product.content == (chosen.paths.state / "products/2021/03/01/00/analysis.nc").read_bytes()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.end() == 0
    assert daemon.events()[-1] == "stopped"
    assert states(chosen) == DONE


def test_the_log_says_where_a_relative_state_directory_lies(chosen: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the daemon is started, too
    relative = Path(os.path.relpath(chosen.paths.state, ROOT))
    chosen = chosen.model_copy(update={"paths": chosen.paths.model_copy(update={"state": relative})})
    with running(chosen) as daemon:
        assert daemon.until("started")["state"] == f"{ROOT}/{relative}"


def test_sigterm_in_mid_assimilation_and_the_next_daemon_goes_on(chosen: Config) -> None:
    with running(chosen) as daemon:
        daemon.until("chunk", stage="assimilate", cycle="2021-03-01T12", done=2)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.end() == 0
        assert "abandoned" not in daemon.events()
    found = states(chosen)
    assert found[0] == DONE[0]
    if found[1] == DONE[1]:
        pytest.skip("the signal came after the last chunk")
    assert found[1] == (hours(12), "delayed", State.PENDING)
    with running(chosen) as daemon:
        daemon.until("stage_begin", cycle="2021-03-01T12", stage="assimilate")
        assert ("stage_begin", "ingest") not in [(t["event"], t.get("stage")) for t in daemon.log]
        daemon.until("cycle_end", cycle="2021-03-02T00", stream="early")
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.end() == 0
    assert states(chosen) == DONE


def test_second_daemon_gets_one_clear_line(chosen: Config) -> None:
    with running(chosen) as daemon:
        daemon.until("started")
        path = chosen.paths.state.parent / "dacycle.toml"
        second = subprocess.run(
            command(path, NOW), capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False
        )
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr.count("\n") == 1
        assert f"is in use by another dacycle (process {daemon.process.pid})" in second.stderr


def test_second_daemon_and_a_configuration_that_becomes_invalid_change_nothing(chosen: Config, tmp_path: Path) -> None:
    calm = chosen.model_copy(update={"paths": chosen.paths.model_copy(update={"state": tmp_path / "calm" / "state"})})
    (tmp_path / "calm").mkdir()
    path = chosen.paths.state.parent / "dacycle.toml"
    for one, disturbed in ((calm, False), (chosen, True)):
        with running(one) as daemon:
            if disturbed:
                daemon.until("stage_begin", stage="assimilate", cycle="2021-03-01T00")
                arguments = command(path, NOW)
                second = subprocess.run(arguments, capture_output=True, env=ENVIRONMENT, cwd=ROOT, check=False)
                assert second.returncode == 1
                path.write_text("[ensemble]\nmembers = -1\n")
                daemon.process.send_signal(signal.SIGHUP)
            daemon.until("cycle_end", cycle="2021-03-02T00", stream="early")
            if disturbed:
                daemon.until("configuration_refused")
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.end() == 0
    assert states(chosen) == DONE
    assert settled(chosen) == settled(calm)


def test_taken_port_gets_one_clear_line(chosen: Config, tmp_path: Path) -> None:
    with running(chosen) as daemon:
        port = int(daemon.until("started")["url"].rsplit(":", 1)[1].strip("/"))
        other = chosen.model_copy(
            update={
                "paths": chosen.paths.model_copy(update={"state": tmp_path / "other"}),
                "service": chosen.service.model_copy(update={"port": port}),
            }
        )
        path = toml(tmp_path / "other.toml", other)
        second = subprocess.run(
            command(path, NOW), capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False
        )
        assert second.returncode == 1
        hint = "set [service] host and port (or DACYCLE_SERVICE__PORT)"
        told = f"dacycle: cannot listen on 127.0.0.1:{port}: Address already in use; {hint}"
        assert second.stderr.splitlines() == [told]


def test_sighup_takes_a_good_configuration_and_refuses_a_bad_one(chosen: Config) -> None:
    path = chosen.paths.state.parent / "dacycle.toml"
    with running(chosen) as daemon:
        daemon.until("cycle_end", cycle="2021-03-02T00", stream="early")
        good = path.read_text()
        path.write_text("[cycle]\nintervall_hours = 6\n")
        daemon.process.send_signal(signal.SIGHUP)
        refused = daemon.until("configuration_refused")
        assert "did you mean cycle.interval_hours?" in refused["reason"]
        path.write_text(good.replace("members = 4", "members = 2"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.until("configuration_reread")
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.end() == 0
    with History.read(chosen.paths.state) as history:
        texts = [event.text for event in history.events()]
    assert any(text.startswith("the configuration stays as it was") for text in texts)
    assert "the configuration was read anew" in texts
    with History.read(chosen.paths.state) as history:
        assert history.newest_published(Stream.DELAYED) is not None
