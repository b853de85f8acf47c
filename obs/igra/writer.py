"""Soundings -> IGRA v2.2 text, zips and station list in NCEI's layout; the same soundings give the same bytes."""

import zipfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np

from dacycle.obs.igra.archive import STATION_LIST, Y2D
from dacycle.obs.igra.stations import Station, station_line
from dacycle.obs.soundings import Soundings

__all__ = ["sounding_text", "write_archive"]

MISSING_POSITION = ("-988888", "-9988888")
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # of the members: the clock must not show in the bytes


def sounding_text(soundings: Soundings) -> bytes:
    """The text of ``soundings``: headers of 71 characters, levels of 51 and a blank; the inverse of parsing."""
    levels = soundings.levels
    columns = [column.tolist() for column in levels.columns().values()]
    lines = [_level(*row) for row in zip(*columns, strict=True)]
    text: list[str] = []
    reports = soundings.reports
    for k, (first, count) in enumerate(zip(reports.first.tolist(), reports.count.tolist(), strict=True)):
        text.append(_header(soundings, k))
        text += lines[first : first + count]
    return "".join(f"{line}\n" for line in text).encode("ascii")


def _header(soundings: Soundings, row: int) -> str:
    reports = soundings.reports
    nominal = reports.nominal[row]
    known = not np.isnat(nominal)
    day, hour = (nominal if known else reports.release[row]).astype("datetime64[h]").astype(str).split("T")
    lat, lon = reports.lat[row], reports.lon[row]
    place = MISSING_POSITION if np.isnan(lat) else (f"{round(lat * 1e4)}", f"{round(lon * 1e4)}")
    when = f"{day.replace('-', ' ')} {hour if known else '99'} {reports.reltime[row]:04d}"
    sources = f"{reports.p_src[row]:8.8} {reports.np_src[row]:8.8}"
    return f"#{reports.station[row]:11.11} {when} {reports.count[row]:4d} {sources} {place[0]:>7} {place[1]:>8}"


def _level(
    major: int,
    minor: int,
    etime: int,
    press: int,
    pflag: bytes,
    gph: int,
    zflag: bytes,
    temp: int,
    tflag: bytes,
    rh: int,
    dpdp: int,
    wdir: int,
    wspd: int,
) -> str:
    # numpy strips trailing blanks' NULs but keeps blanks; an empty flag is a blank all the same.
    p, z, t = (flag.decode("ascii") or " " for flag in (pflag, zflag, tflag))
    left = f"{major}{minor} {etime:5d} {press:6d}{p}{gph:5d}{z}{temp:5d}{t}"
    return f"{left}{rh:5d} {dpdp:5d} {wdir:5d} {wspd:5d} "


def write_archive(root: Path, soundings: Soundings, stations: Iterable[Station], first_year: int) -> None:
    """Year-to-date zips below ``root`` for every station with soundings, in order of time, and the station list."""
    folder = root / Y2D
    folder.mkdir(parents=True, exist_ok=True)
    reports = soundings.reports
    for station in np.unique(reports.station).tolist():
        rows = np.flatnonzero(reports.station == station)
        rows = rows[np.argsort(reports.reference[rows], kind="stable")]
        text = sounding_text(soundings.select(rows))
        (folder / f"{station}-data-beg{first_year}.txt.zip").write_bytes(_zip(f"{station}-data.txt", text))
    listed = "".join(f"{station_line(station)}\n" for station in sorted(stations, key=lambda station: station.id))
    path = root / STATION_LIST
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(listed.encode("utf-8"))


def _zip(member: str, text: bytes) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        entry = zipfile.ZipInfo(member, FIXED_TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.create_system = 3
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, text, compresslevel=9)
    return content.getvalue()
