"""The command line: exit codes, one line per expected failure, and no networks where none are needed."""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.requests import requests
from dacycle.cycler.main import ELSEWHERE, TRAINING, _parser, main
from dacycle.cycler.overview import GROUPS
from tests.cycle.small_world import config, hours, soundings, toml
from tests.obs.igra_text import put


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """``main`` takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def chosen(tmp_path: Path, tiny_bundle_path: Path) -> Config:
    withhold = {"steps": 2, "withhold_folds": 3}
    archive = soundings(tmp_path / "archive", [hours(0), hours(12)])
    return config(tmp_path, archive, tiny_bundle_path, assimilation=withhold)


@pytest.fixture
def file(tmp_path: Path, chosen: Config) -> str:
    return str(toml(tmp_path / "dacycle.toml", chosen))


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of an expected failure."""
    capsys.readouterr()
    assert main(arguments) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dacycle: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("dacycle: ")


def test_cycles_statuses_and_scores(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backfill", "2021-03-01T00", "2021-03-01T12", "--config", file]) == 0
    out, err = capsys.readouterr()
    assert [line.split(",")[0] for line in out.splitlines()] == [
        "2021-03-01T00 delayed: published",
        "2021-03-01T12 delayed: published",
    ]
    assert "2021-03-01T12 delayed assimilate 4/4" in err.splitlines()
    assert main(["cycle", "2021-03-02T00", "--early", "--config", file]) == 0
    assert "products/2021/03/02/00/early/" in capsys.readouterr().out
    assert main(["status", "--json", "--config", file]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(c["stream"], c["state"]) for c in told["cycles"]] == [
        ("delayed", "published"),
        ("delayed", "published"),
        ("early", "published_free_forecast"),
    ]
    assert main(["status", "--config", file]) == 0
    assert "next due: 2021-03-05T00:00:00Z" in capsys.readouterr().out
    assert main(["verify", "2021-03-01T00", "2021-03-01T12", "--json", "--config", file]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["truth"] is None
    keys = {"n", "rmse_analysis", "rmse_background", "rmse_climatology", "crps_analysis", "spread"}
    assert set(scores["withheld"]["t850"]) == keys
    assert len(scores["rank_histogram"]["t850"]) == 5
    assert sum(scores["rank_histogram"]["t850"]) == scores["withheld"]["t850"]["n"]
    assert main(["verify", "2021-03-01T00", "2021-03-01T12", "--config", file]) == 0
    assert "at withheld stations" in capsys.readouterr().out


def test_nothing_to_verify_against_is_told(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = failure(capsys, "verify", "2021-03-01T00", "2021-03-01T12", "--config", file)
    assert "nothing has run with this state directory yet" in told


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["cycle"], ["cycle", "yesterday"], ["config", "colour"], ["status", "--config"], ["train"]],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["backfill", "verify", "export --out x.nc", "catalogue list", "catalogue check"])
def test_a_period_that_ends_before_it_starts_is_wrong_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "2021-03-02T00", "2021-03-01T00"])
    assert ended.value.code == 2
    assert "END: expected START <= END, got 2021-03-02T00 > 2021-03-01T00" in capsys.readouterr().err


def test_osse_names_methods_as_they_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["osse", "--help"])
    assert "letkf, 'oi, adapting', 'letkf, adapting', sda," in " ".join(capsys.readouterr().out.split())


def test_help_tells_every_command_in_one_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["nonsense"])
    known = re.findall(r"'([a-z]+)'", capsys.readouterr().err.partition("choose from")[2])
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(known)
    assert all(re.search(rf"^  {name} +\w", told, re.MULTILINE) for name in known)
    assert "dacycle config default > dacycle.toml" in told


def test_config_describes_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Config"
    assert main(["config", "default"]) == 0
    assert "cutoff_hours = 72" in capsys.readouterr().out


def test_unreadable_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[ensemble]\nmember = 4\n")
    told = failure(capsys, "cycle", "2021-03-01T00", "--config", str(path))
    assert told == f"{path}: unknown key ensemble.member; did you mean ensemble.members?"
    assert "no such configuration file" in failure(capsys, "status", "--config", str(tmp_path / "absent.toml"))


def test_absent_source_and_empty_archive(file: str, chosen: Config, capsys: pytest.CaptureFixture[str]) -> None:
    archive = Path(chosen.source.location)
    shutil.rmtree(archive / "access")
    told = failure(capsys, "cycle", "2021-03-01T00", "--config", file)
    assert "the archive is empty or [source] location is not its root" in told
    shutil.rmtree(archive)
    told = failure(capsys, "cycle", "2021-03-01T00", "--config", file)
    assert f"source {archive}: expected a folder in the archive's layout" in told


def test_truncated_zip_is_named(file: str, chosen: Config, capsys: pytest.CaptureFixture[str]) -> None:
    zips = sorted(Path(chosen.source.location).rglob("*.zip"))
    for path in zips[1:]:
        path.unlink()
    put(zips[0].parent, zips[0].name, zips[0].read_bytes()[:-30])
    told = failure(capsys, "cycle", "2021-03-01T00", "--config", file)
    assert "waiting_obs" in told
    assert zips[0].name in told


@pytest.mark.parametrize("name", ["prior.safetensors", "emulator.safetensors", "statics.nc", "bundle.toml"])
def test_broken_bundle_is_named(
    name: str, tmp_path: Path, tiny_bundle_path: Path, chosen: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(tiny_bundle_path, tmp_path / "bundle")
    (bundle / name).write_bytes(b"\0" * 100)
    if name == "emulator.safetensors":  # the tiny bundle's emulator has no weights to be wrong
        (bundle / name).unlink()
    broken = chosen.model_copy(update={"bundle": chosen.bundle.model_copy(update={"path": str(bundle)})})
    told = failure(capsys, "cycle", "2021-03-01T00", "--config", str(toml(tmp_path / "b.toml", broken)))
    assert str(bundle) in told
    assert name in told


def test_checkpoint_of_another_shape_is_named(
    tmp_path: Path, tiny_bundle_path: Path, chosen: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(tiny_bundle_path, tmp_path / "bundle")
    weights = load_file(bundle / "prior.safetensors")
    name = next(key for key, value in weights.items() if value.ndim == 4)
    weights[name] = torch.zeros(*weights[name].shape[:-1], weights[name].shape[-1] + 1)
    save_file(weights, bundle / "prior.safetensors")
    broken = chosen.model_copy(update={"bundle": chosen.bundle.model_copy(update={"path": str(bundle)})})
    told = failure(capsys, "cycle", "2021-03-01T00", "--config", str(toml(tmp_path / "b.toml", broken)))
    assert name in told
    assert "prior.safetensors" in told


def test_time_between_the_cycles_is_refused(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no analysis time" in failure(capsys, "cycle", "2021-03-01T05", "--config", file)


def test_unwritable_state_directory(tmp_path: Path, chosen: Config, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plain").write_text("a file")
    other = chosen.model_copy(update={"paths": chosen.paths.model_copy(update={"state": tmp_path / "plain" / "state"})})
    told = failure(capsys, "cycle", "2021-03-01T00", "--config", str(toml(tmp_path / "s.toml", other)))
    assert "set [paths] state" in told


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["config", "default"], ["cycle", "--help"]])
def test_light_commands_import_neither_torch_nor_netcdf(arguments: list[str], file: str) -> None:
    if arguments == ["status"]:
        assert main(["cycle", "2021-03-01T00", "--config", file]) == 0
        arguments = ["status", "--config", file]
    code = (
        "import sys; from dacycle.cycler.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'netCDF4', 'numpy', 'eccodes', 'starlette', 'apscheduler'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_requests_that_cannot_be_are_refused_at_once_beside_a_daemon(
    file: str, chosen: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cycle", "2021-03-01T00", "--config", file]) == 0
    with open_engine(chosen, hours(1)) as engine:
        assert "lies before the first cycle" in failure(capsys, "hold", "1999-01-01T00", "--config", file)
        assert "is no analysis time" in failure(capsys, "release", "2021-03-01T05", "--config", file)
        assert requests(engine.ledger) == []
        assert main(["hold", "2021-03-01T12", "--config", file]) == 0
        assert "answers it between two cycles" in capsys.readouterr().out
        assert [request.kind for request in requests(engine.ledger)] == ["hold"]


def options(parser: argparse.ArgumentParser, path: str = "dacycle") -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from options(command, f"{path} {name}")
        else:
            yield path, action


@pytest.mark.parametrize("given", [[], *([name] for name in ELSEWHERE), *(["train", name] for name in TRAINING)])
def test_every_option_says_what_it_is(given: list[str]) -> None:
    assert [(path, action.dest) for path, action in options(_parser(given)) if not action.help] == []
