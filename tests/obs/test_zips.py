"""Zips that are not what their name says."""

import struct
import zipfile
from io import BytesIO

import pytest

from dacycle.obs.igra.zips import UnreadableZipError, data_file, unzip
from tests.obs.igra_text import zipped

NAME = "USM00072403-data-beg2016.txt.zip"
TEXT = "#USM00072403 and so on\n" * 100


def opened(content: bytes) -> bytes:
    file = data_file(NAME)
    assert file is not None
    return unzip(content, file)


def test_names() -> None:
    recent, record = data_file(NAME), data_file("BNM00065344-data.txt.zip")
    assert recent is not None
    assert record is not None
    assert (recent.station, recent.begins) == ("USM00072403", 2016)
    assert (record.station, record.begins) == ("BNM00065344", None)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../USM00072403-data.txt.zip",
        "USM00072403-data.txt",
        "USM0007240-data.txt.zip",
        "USM00072403-data-beg16.txt.zip",
        "USM00072403-data.txt.zip\n",
        "a/USM00072403-data.txt.zip",
        ".USM00072403-data.txt.zip",
    ],
)
def test_other_names_are_no_sounding_files(name: str) -> None:
    assert data_file(name) is None


@pytest.mark.parametrize("member", ["USM00072403-data.txt", "USM00072403-data-beg2016.txt"])
def test_the_text_inside(member: str) -> None:
    assert opened(zipped(TEXT, member)) == TEXT.encode()


@pytest.mark.parametrize("member", ["../USM00072403-data.txt", "BNM00065344-data.txt", "/etc/passwd", "readme.txt"])
def test_another_member_is_rejected(member: str) -> None:
    with pytest.raises(UnreadableZipError, match="expected one member USM00072403-data"):
        opened(zipped(TEXT, member))


def test_two_members_are_rejected() -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("USM00072403-data.txt", TEXT)
        file.writestr("more.txt", TEXT)
    with pytest.raises(UnreadableZipError, match="expected one member"):
        opened(content.getvalue())


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html></html>", b"\x00" * 100])
def test_what_is_no_zip_is_named(content: bytes) -> None:
    with pytest.raises(UnreadableZipError, match="expected a zip archive, got"):
        opened(content)


def test_truncation_anywhere_is_noticed() -> None:
    whole = zipped(TEXT)
    for length in range(4, len(whole), 7):
        with pytest.raises(UnreadableZipError):
            opened(whole[:length])


def test_a_flipped_bit_anywhere_never_passes_for_other_text() -> None:
    whole = zipped(TEXT)
    rejected = 0
    for place in range(2, len(whole)):
        content = bytearray(whole)
        content[place] ^= 0x10
        try:
            assert opened(bytes(content)) == TEXT.encode()
        except UnreadableZipError:
            rejected += 1
    assert rejected > len(whole) / 2


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(UnreadableZipError, match="a zip bomb"):
        opened(zipped("0" * (8 << 20)))


def test_a_bomb_that_lies_about_its_size_is_not_unpacked() -> None:
    content = bytearray(zipped("0" * (8 << 20)))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    with pytest.raises(UnreadableZipError):
        opened(bytes(content))


def test_an_encrypted_member_is_rejected() -> None:
    content = bytearray(zipped(TEXT))
    directory = content.rindex(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    with pytest.raises(UnreadableZipError, match="encrypted"):
        opened(bytes(content))


def test_an_unusual_compression_is_rejected() -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("USM00072403-data.txt", TEXT)
    with pytest.raises(UnreadableZipError, match="compression method 14"):
        opened(content.getvalue())
