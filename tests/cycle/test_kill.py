"""kill -9 anywhere, then a restart: the same products, the same ledger, nothing twice and nothing left lying about."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.states import State, Stream
from tests.cycle.small_world import START, config, hours, soundings, toml

STEPS = 100
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return soundings(tmp_path / "archive", [hours(0), hours(12)])


def killed(folder: Path, source: Path, bundle: Path, what: str) -> tuple[dict[str, Any], list[str]]:
    """The undisturbed outcome, which all killed and restarted ones are held against, and the points of the kills."""
    command = [sys.executable, "-m", "tests.cycle.killing", str(bundle), str(source), str(folder), what]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    undisturbed = told.pop("undisturbed")
    assert undisturbed["leftovers"] == []
    for name, outcome in told.items():
        assert outcome == undisturbed, name
    return undisturbed, [name.split(" ", 1)[1] for name in told]


def test_kill_at_every_point_of_a_cycle(tmp_path: Path, source: Path, tiny_bundle_path: Path) -> None:
    undisturbed, points = killed(tmp_path, source, tiny_bundle_path, "cycle")
    assert len(undisturbed["products"]) == 6
    assert len(points) >= 25
    for stage in ("ingest", "forecast", "assimilate", "reinitialise", "publish"):
        begin, end = points.index(f"stage_begin {stage}"), points.index(f"stage_end {stage}")
        assert any(name.startswith("renamed") for name in points[begin:end]), "between the rename and the ledger"
    assert {"renamed  initial.npy", "renamed publish 12", "renamed  chunk-001-002.npy"} <= set(points)


@pytest.mark.slow
def test_kill_where_a_pass_over_late_soundings_replaces_products(
    tmp_path: Path, source: Path, tiny_bundle_path: Path
) -> None:
    """The old versions stay until the new ones are published; the early stream starts from the new ones."""
    undisturbed, points = killed(tmp_path, source, tiny_bundle_path, "rerun")
    assert points.count("cycle_end") == 3, "two delayed cycles and the early one"
    assert len([name for name in points if name.startswith("renamed publish")]) == 3
    superseded = {name.split("/superseded/")[0] for name in undisturbed["products"] if "/superseded/" in name}
    assert superseded == {"products/2021/03/01/12", "products/2021/03/02/00"}


@pytest.fixture
def command(tmp_path: Path, source: Path, tiny_bundle_path: Path) -> tuple[list[str], Config]:
    chosen = config(tmp_path, source, tiny_bundle_path)
    # Enough denoiser calls that the signal meets the second chunk still at work, on any machine.
    longer = chosen.assimilation.model_copy(update={"steps": STEPS})
    chosen = chosen.model_copy(update={"assimilation": longer})
    file = toml(tmp_path / "dacycle.toml", chosen)
    program = [sys.executable, "-m", "dacycle.cycler.main", "cycle", f"{START:%Y-%m-%dT%H}", "--config", str(file)]
    return program, chosen


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signal_in_mid_assimilation_and_the_same_command_again(command: tuple[list[str], Config], number: int) -> None:
    program, chosen = command
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=ROOT) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.strip().endswith(f"assimilate {STEPS}/{2 * STEPS}"):
                process.send_signal(number)
                break
        rest = process.stderr.read()
    with History.read(chosen.paths.state) as history:
        record = history.cycle(START, Stream.DELAYED)
        assert record is not None
        if number == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
            assert record.state == State.ASSIMILATING
        else:
            assert process.returncode == 1
            assert rest.splitlines()[-1] == "dacycle: stopped; the same command continues where it stopped"
            assert record.state == State.PENDING
    again = subprocess.run(program, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
    assert again.returncode == 0, again.stderr
    assert "ingest" not in again.stderr
    assert "2021-03-01T00 delayed: published" in again.stdout
