"""IGRA text and archives made up for tests, character by character and independently of the package's writer."""

import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

__all__ = ["Level", "archive", "header", "listed", "put", "sounding", "zipped"]


def header(
    station: str = "USM00072403",
    when: str = "2016 01 01 00",
    reltime: str = "2302",
    numlev: int = 1,
    p_src: str = "ncdc-nws",
    np_src: str = "ncdc-gts",
    lat: int = 389767,
    lon: int = -774864,
) -> str:
    """71 characters."""
    line = f"#{station} {when} {reltime} {numlev:4d} {p_src:8} {np_src:8} {lat:7d} {lon:8d}"
    assert len(line) == 71
    return line


@dataclass(frozen=True)
class Level:
    """A level line, 51 characters and a blank."""

    types: str = "10"
    etime: int = -9999
    press: int = -9999
    gph: int = -9999
    temp: int = -9999
    rh: int = -9999
    dpdp: int = -9999
    wdir: int = -9999
    wspd: int = -9999
    flags: str = "   "

    def __str__(self) -> str:
        p, z, t = self.flags
        left = f"{self.types} {self.etime:5d} {self.press:6d}{p}{self.gph:5d}{z}{self.temp:5d}{t}"
        line = f"{left}{self.rh:5d} {self.dpdp:5d} {self.wdir:5d} {self.wspd:5d} "
        assert len(line) == 52
        return line


def sounding(*levels: Level, **head: object) -> str:
    """A header that counts its levels, and they."""
    lines = [header(**{"numlev": len(levels), **head}), *map(str, levels)]  # type: ignore[arg-type]
    return "".join(f"{line}\n" for line in lines)


def zipped(text: str, member: str = "USM00072403-data.txt") -> bytes:
    """A zip of one member."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(member, text)
    return content.getvalue()


def put(root: Path, name: str, content: bytes) -> Path:
    """A file below ``root``."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def listed(station: str = "USM00072403", lat: float = 38.9767, lon: float = -77.4864, elevation: float = 95.0) -> str:
    """A line of the station list, 88 characters."""
    line = f"{station} {lat:8.4f} {lon:9.4f} {elevation:6.1f} VA {'STERLING':30} 1960 2026  70000"
    assert len(line) == 88
    return line


def archive(root: Path, texts: dict[str, str], year: int = 2016, stations: list[str] | None = None) -> Path:
    """An archive of year-to-date zips: station -> text."""
    for station, text in texts.items():
        put(root, f"access/data-y2d/{station}-data-beg{year}.txt.zip", zipped(text, f"{station}-data.txt"))
    lines = [listed(station) for station in texts] if stations is None else stations
    put(root, "doc/igra2-station-list.txt", "".join(f"{line}\n" for line in lines).encode())
    return root
