"""The unit, its drop-ins and its install target: read by systemd, and run by one in a container of the test's own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dacycle.cycler.config_file import load_config
from dacycle.cycler.cycle.history import History
from tests.cycle.small_world import START, config, hours, soundings, toml
from tests.tools import require_tool

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "deploy" / "systemd"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """What `make install-systemd` puts into a tree."""
    program = Path(sys.executable).with_name("dacycle")
    assert program.is_file()
    prefix = f"PREFIX={program.parent.parent}"
    tree = tmp_path / "tree"
    command = ["make", "--silent", "-C", str(ROOT), "install-systemd", prefix, f"DESTDIR={tree}"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return tree


def analyse(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [require_tool("systemd-analyze"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("dropins", [[], ["gpu.conf"], ["workers.conf"]])
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path, dropins: list[str]) -> None:
    (tmp_path / "dacycle.service.d").mkdir()
    for name in dropins:
        (tmp_path / "dacycle.service.d" / name).write_text((UNITS / name).read_text())
    # Only the program is another one: that of this environment, since none is installed in /opt.
    unit = (UNITS / "dacycle.service").read_text().replace("/opt/dacycle/bin/dacycle", sys.executable)
    (tmp_path / "dacycle.service").write_text(unit)
    found = analyse("verify", "--man=no", str(tmp_path / "dacycle.service"))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_verify_would_say_something(tmp_path: Path) -> None:
    unit = (UNITS / "dacycle.service").read_text().replace("/opt/dacycle/bin/dacycle", sys.executable)
    (tmp_path / "dacycle.service").write_text(unit.replace("ProtectClock=", "ProtectClok="))
    found = analyse("verify", "--man=no", str(tmp_path / "dacycle.service"))
    assert "ProtectClok" in found.stdout + found.stderr


def test_unit_is_hardened() -> None:
    found = analyse("security", "--offline=true", "--threshold=15", "--no-pager", str(UNITS / "dacycle.service"))
    assert found.returncode == 0, found.stdout
    told = re.search(r"exposure level for dacycle\.service: ([\d.]+)", found.stdout)
    assert told is not None
    assert float(told[1]) <= 1.5


def test_stop_outlasts_the_daemon_and_the_watchdog_its_heartbeat() -> None:
    unit = dict(line.split("=", 1) for line in (UNITS / "dacycle.service").read_text().splitlines() if "=" in line)
    environment = dict(
        line.split("=", 1) for line in (UNITS / "dacycle.env").read_text().splitlines() if line[:1].isalpha()
    )
    assert int(unit["TimeoutStopSec"]) > float(environment["DACYCLE_SERVICE__STOP_SECONDS"])
    assert int(unit["WatchdogSec"]) >= 60
    assert unit["Type"] == "notify"


def test_install_target_puts_everything_in_its_place_and_keeps_what_is_configured(installed: Path) -> None:
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert files == {
        "etc/dacycle/dacycle.env",
        "etc/dacycle/dacycle.toml",
        "usr/lib/systemd/system/dacycle.service",
        "usr/lib/sysusers.d/dacycle.conf",
        "usr/lib/tmpfiles.d/dacycle.conf",
        "usr/share/doc/dacycle/gpu.conf",
        "usr/share/doc/dacycle/systemd.md",
        "usr/share/doc/dacycle/workers.conf",
    }
    mine = installed / "etc/dacycle/dacycle.toml"
    # Not in the environment, which other commands than the daemon do not have.
    assert load_config(mine).paths.state == Path("/var/lib/dacycle")
    mine.write_text("[log]\nlevel = 'debug'\n")
    prefix = f"PREFIX={Path(sys.executable).parent.parent}"
    command = ["make", "--silent", "-C", str(ROOT), "install-systemd", prefix, f"DESTDIR={installed}"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    assert mine.read_text() == "[log]\nlevel = 'debug'\n"


class Machine:
    """A container that systemd has booted."""

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def sh(self, command: str, check: bool = True) -> str:
        """What a command in it prints."""
        inside = ["nsenter", "-t", str(self.leader), "--all", "/bin/sh", "-c", command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False)
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.log()}"
        return done.stdout.strip()

    def log(self) -> str:
        return self.sh("journalctl -u dacycle --no-pager -n 60", check=False)

    def show(self, key: str) -> str:
        return self.sh(f"systemctl show -P {key} dacycle")

    def until(self, command: str, expected: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while (found := self.sh(command, check=False)) != expected:
            assert time.monotonic() < deadline, f"{command}: {found!r} after {seconds} s\n{self.log()}"
            time.sleep(0.2)


@contextmanager
def booted(root: Path, *shared: Path) -> Iterator[Machine]:
    """This very system, booted once more over an overlay in memory: what it writes is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("booting a container needs root")
    binds = " ".join(f"--bind={path}" for path in shared)
    nspawn = require_tool("systemd-nspawn")
    options = "--volatile=overlay --register=no --keep-unit --console=pipe --quiet --machine=dacycle-test"
    # nspawn refuses / itself; seen through a bind mount, in a mount namespace of its own, it is a tree like any other.
    script = f"mount --bind / {root} && exec {nspawn} --directory={root} {options} {binds} --boot"
    with subprocess.Popen(
        ["unshare", "--mount", "/bin/sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    ) as process:
        machine = _up(process)
        try:
            yield machine
            machine.sh("systemctl poweroff", check=False)
            process.wait(30)
        finally:
            if process.poll() is None:
                os.kill(machine.leader, signal.SIGKILL)


def _up(process: "subprocess.Popen[bytes]") -> Machine:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for child in _children(process.pid):
            machine = Machine(child)
            if machine.sh("systemctl is-system-running", check=False) in ("running", "degraded"):
                return machine
        time.sleep(0.3)
    for child in _children(process.pid) or [process.pid]:
        os.kill(child, signal.SIGKILL)
    pytest.skip("systemd cannot boot in a container here")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


TRIAL = """\
[Unit]
StartLimitIntervalSec=0
[Service]
RestartSec=1
WatchdogSec=6
# The tests' environment may lie in somebody's home, which the unit hides.
ProtectHome=tmpfs
BindReadOnlyPaths={places}
"""


def test_service_starts_works_survives_and_stops_under_systemd(tmp_path: Path, tiny_bundle_path: Path) -> None:
    source = soundings(tmp_path / "archive", [hours(0), hours(12)])
    cycle = {"first": START, "last": hours(12), "catch_up_limit_days": 100000, "early_stream": False}
    chosen = config(tmp_path, source, tiny_bundle_path, cycle=cycle, paths={"state": "/var/lib/dacycle"})
    trial, root = tmp_path / "trial", tmp_path / "root"
    for folder in (trial, root):
        folder.mkdir()
    toml(trial / "dacycle.toml", chosen)
    places = {ROOT, Path(sys.prefix), Path(sys.base_prefix), tmp_path, tiny_bundle_path}
    hidden = [str(place) for place in places if not str(place).startswith("/tmp")]
    (trial / "trial.conf").write_text(TRIAL.format(places=" ".join(hidden)))
    for folder in (source, tiny_bundle_path):
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    with booted(root, trial, source, tiny_bundle_path) as machine:
        # Copies outside /tmp, which the service has for itself.
        machine.sh(f"mkdir /data && cp -r {source} /data/archive && cp -r {tiny_bundle_path} /data/bundle")
        machine.sh(f"ln -sfn {sys.prefix} /opt/dacycle && mkdir -p /etc/systemd/system/dacycle.service.d")
        machine.sh(f"cp {trial}/trial.conf /etc/systemd/system/dacycle.service.d/")
        machine.sh(f"make --silent -C {ROOT} install-systemd")
        rename = f"s#{source}#/data/archive#; s#{tiny_bundle_path}#/data/bundle#"
        machine.sh(f"sed '{rename}' {trial}/dacycle.toml > /etc/dacycle/dacycle.toml")
        machine.sh(f"echo PYTHONPATH={ROOT}/src >> /etc/dacycle/dacycle.env")

        machine.sh("systemctl start dacycle")  # returns when the daemon has said READY=1
        assert machine.show("ActiveState") == "active"
        first = machine.show("MainPID")
        assert machine.sh(f"stat -c %U /proc/{first}") == "dacycle"
        machine.until("test -e /var/lib/dacycle/products/2021/03/01/12/manifest.json && echo done", "done")
        machine.until("systemctl show -P StatusText dacycle", "idle")

        # Root asks, from anywhere: the same state directory; what the daemon is to do is entered beside it.
        ask = f"cd / && PYTHONPATH={ROOT}/src /opt/dacycle/bin/dacycle {{}} --config /etc/dacycle/dacycle.toml 2>&1"
        assert "2021-03-01T12  delayed" in machine.sh(ask.format("status"))
        assert "the running dacycle answers it" in machine.sh(ask.format("hold 2021-03-01T12"))
        assert machine.sh("find /var/lib/dacycle -not -user dacycle") == ""

        machine.sh(f"kill -KILL {first}")
        machine.until("systemctl show -P NRestarts dacycle", "1")
        machine.until("systemctl is-active dacycle", "active")
        second = machine.show("MainPID")
        assert second != first

        machine.sh(f"kill -STOP {second}")  # says nothing any more, which the watchdog notices
        machine.until("systemctl show -P NRestarts dacycle", "2")
        machine.until("systemctl is-active dacycle", "active")
        assert "Watchdog timeout" in machine.log()

        machine.sh("systemctl stop dacycle")
        assert "belongs to dacycle: run this as dacycle" in machine.sh(ask.format("release 2021-03-01T12"), check=False)
        assert (machine.show("Result"), machine.show("ExecMainStatus")) == ("success", "0")
        assert machine.sh("stat -c '%U %a' /var/lib/dacycle") == "dacycle 750"
        machine.sh(f"cp -r /var/lib/dacycle {trial}/kept")
    with History.read(trial / "kept") as history:
        assert [str(record.state) for record in history.cycles()] == ["published", "published"]
