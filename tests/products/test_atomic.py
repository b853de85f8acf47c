"""Files appear whole or not at all."""

import hashlib
from pathlib import Path

import pytest

from dacycle.cycler.products.atomic import clear_stale, write_atomically, write_bytes, write_text
from dacycle.errors import ProductError


def test_hash_and_size_are_those_of_the_file(tmp_path: Path) -> None:
    artefact = write_text(tmp_path / "deep" / "a.txt", "grün\n")
    assert artefact.path.read_bytes() == "grün\n".encode()
    assert artefact.bytes == 6
    assert artefact.sha256 == hashlib.sha256("grün\n".encode()).hexdigest()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.txt"]


def test_a_failing_writer_leaves_the_old_content_and_no_temporary(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write_atomically(tmp_path / "a", fail)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_of_two_that_write_one_file_at_once_the_later_stays(tmp_path: Path) -> None:
    def slow(path: Path) -> None:
        path.write_bytes(b"first")
        write_bytes(tmp_path / "a", b"second")

    artefact = write_atomically(tmp_path / "a", slow)
    assert (tmp_path / "a").read_bytes() == b"first"
    assert artefact.sha256 == hashlib.sha256(b"first").hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ProductError, match=r"^cannot write .*/a: No space left on device$"):
        write_atomically(tmp_path / "a", full)


def test_files_are_readable_by_others(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    artefact = write_text(tmp_path / "a", "x")
    assert artefact.path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_stale_temporaries_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    stale = [tmp_path / ".x.nc.tmp", tmp_path / "b" / ".y.tmp"]
    kept = [tmp_path / "x.tmp", tmp_path / ".hidden", tmp_path / "b" / "y"]
    for path in stale + kept:
        path.write_text("")
    assert clear_stale(tmp_path) == stale
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in stale)
