"""The doctor finds what is wrong and says how to mend it."""

import os
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.lock import exclusive
from dacycle.cycler.cycle.states import Stream
from dacycle.cycler.service.doctor import Finding, doctor, examine
from dacycle.errors import StateError
from tests.cycle.small_world import config, hours, soundings, toml

NOW = hours(24 * 365 * 5)


@pytest.fixture
def chosen(tmp_path: Path, tiny_bundle_path: Path) -> Config:
    return config(tmp_path, soundings(tmp_path / "archive", [hours(0)], 3), tiny_bundle_path)


def findings(path: Path) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(path, NOW)}


def test_all_is_right(tmp_path: Path, chosen: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(toml(tmp_path / "c.toml", chosen), NOW) == 0
    told = capsys.readouterr().out
    assert "FAIL" not in told
    for subject in ("config", "bundle", "networks", "state", "disk", "clock"):
        assert f"ok    {subject}" in told
    card = "tiny 1 (Apache-2.0), simulated world: A bundle for tests: made-up statistics, an untrained network, persist"
    assert card in told
    assert "analysis 16x32, emulator 8x16, 17 channels" in told
    assert "newest sounding 2021-03-01 00 UTC" in told


def test_an_archive_of_the_past_is_warned_of_until_its_period_is_done(tmp_path: Path, chosen: Config) -> None:
    path = toml(tmp_path / "c.toml", chosen)
    source = findings(path)["source"]
    assert (source.mark, source.right) == ("warn", True)
    assert "dacycle backfill" in source.text
    (fresh,) = (f for f in examine(path, hours(24 * 12)) if f.subject == "source")
    assert fresh.mark == "ok"
    cycle = chosen.cycle.model_copy(update={"last": hours(0)})
    path = toml(tmp_path / "c.toml", chosen.model_copy(update={"cycle": cycle}))
    assert findings(path)["source"].mark == "warn"
    with Ledger.open(chosen.paths.state) as ledger:
        ledger.expire([hours(0)], NOW, "skipped")
    assert findings(path)["source"].mark == "ok"


def test_running_daemon_is_no_fault(tmp_path: Path, chosen: Config) -> None:
    path = toml(tmp_path / "c.toml", chosen)
    with exclusive(chosen.paths.state):
        state = findings(path)["state"]
    assert state.right
    assert "in use by a running dacycle" in state.text


def test_analysis_times_without_soundings_are_warned_of(tmp_path: Path, chosen: Config) -> None:
    assert findings(toml(tmp_path / "c.toml", chosen))["times"] == Finding("times", "ok", "analyses of 00, 12 UTC")
    cycle = chosen.cycle.model_copy(update={"first": hours(3)})
    odd = findings(toml(tmp_path / "c.toml", chosen.model_copy(update={"cycle": cycle})))["times"]
    assert (odd.mark, odd.text[:25]) == ("warn", "analyses of 03, 15 UTC, b")
    assert "set [cycle] first" in odd.text


def test_a_file_in_the_place_of_the_state_directory_is_told(tmp_path: Path, chosen: Config) -> None:
    chosen.paths.state.write_text("")
    state = findings(toml(tmp_path / "c.toml", chosen))["state"]
    assert not state.right
    assert state.text.endswith(f"cannot be used: {chosen.paths.state} is a file; set [paths] state")


def test_nothing_is_left_where_it_looked(tmp_path: Path, chosen: Config) -> None:
    assert findings(toml(tmp_path / "c.toml", chosen))["state"].right
    assert not chosen.paths.state.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to another user")
def test_root_is_told_whose_the_state_directory_is(tmp_path: Path, chosen: Config) -> None:
    chosen.paths.state.mkdir()
    os.chown(chosen.paths.state, 65534, 65534)
    source = chosen.source.model_copy(update={"location": "http://127.0.0.1:9/"})
    found = findings(toml(tmp_path / "c.toml", chosen.model_copy(update={"source": source})))
    told = r"belongs to nobody: run this as nobody \(`runuser -u nobody -- dacycle ...`\), or set \[paths\] state$"
    assert (found["state"].mark, found["source"].mark) == ("FAIL", "skip")
    assert re.search(told, found["state"].text)
    with pytest.raises(StateError, match=told), exclusive(chosen.paths.state):
        pass
    assert not list(chosen.paths.state.iterdir())


def test_broken_things_are_named(tmp_path: Path, chosen: Config, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(chosen.source.location)
    broken = chosen.model_copy(update={"bundle": chosen.bundle.model_copy(update={"path": str(tmp_path / "none")})})
    path = toml(tmp_path / "c.toml", broken)
    found = findings(path)
    assert not found["bundle"].right
    assert found["bundle"].text == f"bundle {tmp_path / 'none'}: no such folder; set [bundle] path"
    assert (found["networks"].mark, found["networks"].text) == ("skip", "no bundle")
    assert found["disk"].mark == "skip"
    assert "GB free at" in found["disk"].text
    assert not found["source"].right
    assert "set [source] location" in found["source"].text
    assert found["state"].right
    assert doctor(path, NOW) == 1
    assert "something is wrong" in capsys.readouterr().err


def test_unreadable_configuration_ends_the_examination(tmp_path: Path) -> None:
    found = findings(tmp_path / "absent.toml")
    assert set(found) == {"config"}
    assert not found["config"].right


def test_clock_behind_the_ledger_is_noticed(tmp_path: Path, chosen: Config) -> None:
    with Ledger.open(chosen.paths.state) as ledger:
        ledger.add_cycle(hours(0), Stream.DELAYED, NOW + timedelta(hours=2))
    clock = findings(toml(tmp_path / "c.toml", chosen))["clock"]
    assert not clock.right
    assert "set the clock" in clock.text


def test_clock_that_cannot_be_is_noticed(tmp_path: Path, chosen: Config) -> None:
    path = toml(tmp_path / "c.toml", chosen)
    assert [f.right for f in examine(path, hours(-24 * 365 * 20)) if f.subject == "clock"] == [False]
