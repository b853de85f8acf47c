"""manifest.json proves what a folder holds."""

import json
from pathlib import Path

import pytest

from dacycle.cycler.products.atomic import write_bytes
from dacycle.cycler.products.manifest import MANIFEST, Manifest, read_manifest, verify, write_manifest
from dacycle.errors import ProductError
from tests.products.samples import PROVENANCE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = [write_bytes(tmp_path / name, name.encode()) for name in ("a.nc", "b.grib2")]
    manifest = Manifest.of(
        PROVENANCE,
        files,
        time="2005-08-26T00:00:00Z",
        stream="delayed",
        revision=1,
        clipped={"analysis": {"q850": 3}},
        runtime={"finished": "2026-01-01T00:00:00Z", "seconds": {"publish": 1.5}},
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_it_says_what_made_the_products(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    assert content["bundle"] == {"name": "tiny", "digest": "ab" * 32, "world": "simulated"}
    assert (content["seed"], content["chunk"], content["threads"]) == (7, 2, 2)
    assert list(content)[-1] == "inputs"
    assert content["inputs"]["XXM00000001-data.txt"] == "ef" * 32
    assert content["products"]["a.nc"]["bytes"] == 4
    assert content["clipped"] == {"analysis": {"q850": 3}}
    assert content["runtime"]["seconds"] == {"publish": 1.5}
    clock = content.pop("runtime")["finished"]
    assert clock not in json.dumps(content)


def test_it_reads_back(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.products["b.grib2"].bytes == 7
    assert manifest.same_products(manifest.model_copy(update={"revision": 2, "runtime": {}}))
    assert not manifest.same_products(manifest.model_copy(update={"seed": 8}))
    assert read_manifest(folder / "nothing") is None


def test_a_sound_folder_verifies(folder: Path) -> None:
    assert verify(folder) == ()


def test_damage_is_named(folder: Path) -> None:
    (folder / "a.nc").write_bytes(b"a.nd")
    (folder / "b.grib2").unlink()
    changed, missing = verify(folder)
    assert "a.nc: expected 4 bytes with sha256" in changed
    assert missing.endswith("b.grib2: No such file or directory")


@pytest.mark.parametrize("content", ["{", "{}", '{"format": 2}'])
def test_a_damaged_manifest_is_told_in_one_line(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(ProductError, match=r"manifest.json is not a manifest of dacycle: [^\n]*$"):
        read_manifest(folder)
    assert len(verify(folder)) == 1


def test_a_folder_without_manifest_does_not_verify(tmp_path: Path) -> None:
    assert verify(tmp_path) == (f"{tmp_path} has no manifest.json",)


def test_runtime_must_be_json() -> None:
    common = {"time": "", "stream": "early", "revision": 1, "clipped": {}}
    with pytest.raises(ProductError, match=r"cannot be made: runtime\.x"):
        Manifest.of(PROVENANCE, [], **common, runtime={"x": object()})  # type: ignore[arg-type]
