"""The scripts of this folder are run by hand; that they still fit the code is checked here."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = ("gross_errors", "mirror", "published_readers")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_still_starts(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    if name == "published_readers":  # takes files alone, and no file is nothing to do
        monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(Path(__file__).with_name(f"{name}.py")), run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out
