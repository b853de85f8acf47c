"""Reading a station's zip without trusting it."""

import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO

__all__ = ["DataFile", "UnreadableZipError", "data_file", "unzip"]

MAX_ZIP_BYTES = 256 << 20
MAX_TEXT_BYTES = 1 << 30
MAX_RATIO = 200  # a por file compresses by 7, one of repeated lines by some 30; a bomb by a thousand
_NAME = re.compile(r"(?P<station>[A-Za-z0-9]{11})-data(-beg(?P<year>[0-9]{4}))?\.txt\.zip")


class UnreadableZipError(Exception):
    """A file that is not the zip of one station's text; the message says why."""


@dataclass(frozen=True)
class DataFile:
    """What a file's name says: the station, and the first year for year-to-date files."""

    name: str
    station: str
    begins: int | None


def data_file(name: str) -> DataFile | None:
    """The file of that name, or None for a name that no sounding file has."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    year = match["year"]
    return DataFile(name, match["station"], int(year) if year else None)


def unzip(content: bytes, file: DataFile) -> bytes:
    """The text inside the zip ``content`` of ``file``; UnreadableZipError for anything but exactly that.

    The zip must have one member, ``<ID>-data.txt`` with the file's own station, within bounds of size and
    compression ratio and with the right checksum.
    """
    if not content.startswith(b"PK"):
        raise UnreadableZipError(f"expected a zip archive, got {len(content)} bytes beginning with {content[:15]!r}")
    if len(content) > MAX_ZIP_BYTES:
        raise UnreadableZipError(f"{len(content)} bytes; expected at most {MAX_ZIP_BYTES}")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return _member(archive, file)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise UnreadableZipError(f"truncated or corrupt zip archive ({reason})") from error


def _member(archive: zipfile.ZipFile, file: DataFile) -> bytes:
    members = archive.infolist()
    names = [member.filename for member in members]
    # Both namings occur: with and without the first year.
    expected = {f"{file.station}-data.txt", file.name.removesuffix(".zip")}
    if len(members) != 1 or names[0] not in expected:
        raise UnreadableZipError(f"expected one member {min(expected)}, got {names[:3]}")
    member = members[0]
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnreadableZipError(f"compression method {member.compress_type} is not used by the archive")
    limit = min(MAX_TEXT_BYTES, max(MAX_RATIO * member.compress_size, 1 << 20))
    if member.file_size > limit:
        raise UnreadableZipError(f"{member.compress_size} bytes claim to hold {member.file_size}; a zip bomb")
    with archive.open(member) as stream:
        text = stream.read(limit + 1)
    if len(text) != member.file_size:
        raise UnreadableZipError(f"expected {member.file_size} bytes of text, got {len(text)}")
    return text
