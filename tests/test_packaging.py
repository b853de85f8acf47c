"""The wheel: complete, and harmless to matplotlib, whose dependency `cycler` shares its name with a folder of ours."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, text=True)
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_code_bundle_and_demo(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("cycler/main.py", "obs/igra/format.py", "emulators/lucie.py", "py.typed", "cycler/demo/truth.nc"):
        assert f"dacycle/{name}" in names
    for name in ("bundle.toml", "prior.safetensors", "emulator.safetensors", "statics.nc"):
        assert f"dacycle/emulators/bundles/default/{name}" in names
    for name in ("runbook.md", "templates/page.html", "assets/style.css", "assets/vendor/LICENSE.uplot"):
        assert f"dacycle/cycler/service/{name}" in names
    assert sum(name.startswith("dacycle/cycler/demo/archive/access/data-y2d/QQX") for name in names) == 500
    assert not [name for name in names if name.split("/")[0] in ("cycler", "obs", "emulators", "tests")]


def test_the_shipped_data_stay_small() -> None:
    def size(folder: Path) -> float:
        return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6

    assert size(ROOT / "emulators" / "bundles" / "default") < 40
    assert size(ROOT / "cycler" / "demo") < 25


def test_matplotlib_survives_the_installed_wheel_even_in_the_repository(wheel: Path, tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    code = "import matplotlib.pyplot, cycler, dacycle.cycler.bundle as b; print(cycler.cycler, b.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "MPLBACKEND": "agg"}
    for folder in (tmp_path, ROOT):
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert str(tmp_path) in ran.stdout


@pytest.mark.parametrize(("target", "tools"), [("demo", False), ("live", False), ("test", True), ("check", True)])
def test_only_tests_and_checks_install_their_tools(tmp_path: Path, target: str, tools: bool) -> None:
    command = ["make", "--dry-run", "-C", str(ROOT), target, f"VENV={tmp_path}"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "--editable .\n" in told
    assert ("'.[test,dev]'" in told) is tools


def test_the_cycler_folder_is_no_package_of_its_own() -> None:
    assert not (ROOT / "cycler" / "__init__.py").exists()
