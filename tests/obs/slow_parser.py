"""IGRA v2.2 read line by line with regular expressions: slow, independent of the package, the judge of its parser."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

__all__ = ["SlowSounding", "slow_parse"]


HEADER = re.compile(
    rb"#(?P<id>[!-~]{11}) (?P<year>.{4}) (?P<month>..) (?P<day>..) (?P<hour>..) (?P<reltime>.{4}) (?P<numlev>.{4})"
    rb" (?P<p_src>.{8}) (?P<np_src>.{8}) (?P<lat>.{7}) (?P<lon>.{8}) *",
    re.DOTALL,
)
LEVEL = re.compile(
    rb"(?P<major>[0-3])(?P<minor>[0-2]) (?P<etime>.{5}) (?P<press>.{6})(?P<pflag>[A-Z ])(?P<gph>.{5})(?P<zflag>[A-Z ])"
    rb"(?P<temp>.{5})(?P<tflag>[A-Z ])(?P<rh>.{5}) (?P<dpdp>.{5}) (?P<wdir>.{5}) (?P<wspd>.{5}) *",
    re.DOTALL,
)
INTEGER = re.compile(rb" *-?[0-9]+")
NUMBERS = ("major", "minor", "etime", "press", "gph", "temp", "rh", "dpdp", "wdir", "wspd")


@dataclass(frozen=True)
class SlowSounding:
    """Times are naive; ``levels``: the integers of ``NUMBERS`` and the three flags, line by line."""

    station: str
    nominal: datetime | None
    release: datetime | None
    reltime: int
    declared: int
    lat: float | None
    lon: float | None
    levels: tuple[tuple[object, ...], ...]


def slow_parse(text: bytes) -> list[SlowSounding]:
    """Every sounding with a readable header and a time."""
    lines = text.split(b"\n")
    if lines and lines[-1] == b"":
        lines.pop()
    found: list[SlowSounding] = []
    k = 0
    while k < len(lines):
        line = lines[k].removesuffix(b"\r")
        k += 1
        if not line.startswith(b"#"):
            continue
        below = []
        while k < len(lines) and not lines[k].startswith(b"#"):
            below.append(lines[k].removesuffix(b"\r"))
            k += 1
        sounding = _sounding(line, below)
        if sounding is not None:
            found.append(sounding)
    return found


def _integer(field: bytes) -> int | None:
    return int(field) if INTEGER.fullmatch(field) else None


def _sounding(line: bytes, below: list[bytes]) -> SlowSounding | None:
    match = HEADER.fullmatch(line)
    if match is None:
        return None
    value = {
        name: _integer(match[name]) for name in ("year", "month", "day", "hour", "reltime", "numlev", "lat", "lon")
    }
    year, month, day, hour, declared = (value[name] for name in ("year", "month", "day", "hour", "numlev"))
    if year is None or month is None or day is None or hour is None or declared is None or declared < 0:
        return None
    try:
        midnight = datetime.combine(date(year, month, day), datetime.min.time())
    except (ValueError, OverflowError):
        return None
    if not (0 <= hour <= 23 or hour == 99):
        return None
    nominal = None if hour == 99 else midnight + timedelta(hours=hour)
    reltime = value["reltime"]
    release = None
    if reltime is not None and 0 <= reltime // 100 <= 23 and (reltime % 100 <= 59 or reltime % 100 == 99):
        minute = 0 if reltime % 100 == 99 else reltime % 100
        release = _nearest(midnight + timedelta(hours=reltime // 100, minutes=minute), nominal)
    else:
        reltime = 9999
    if nominal is None and release is None:
        return None
    lat, lon = value["lat"], value["lon"]
    placed = lat is not None and lon is not None and abs(lat) <= 900000 and -1800000 <= lon <= 3600000
    placed = placed and lat != -9999 and lon != -9999
    levels = [_level(level) for level in below[:declared]]
    return SlowSounding(
        match["id"].decode("ascii"),
        nominal,
        release,
        reltime,
        declared,
        lat / 1e4 if placed and lat is not None else None,
        lon / 1e4 if placed and lon is not None else None,
        tuple(level for level in levels if level is not None),
    )


def _nearest(release: datetime, nominal: datetime | None) -> datetime:
    if nominal is not None:
        try:
            if release - nominal > timedelta(hours=12):
                return release - timedelta(days=1)
            if nominal - release > timedelta(hours=12):
                return release + timedelta(days=1)
        except OverflowError:
            pass  # the first or last day of the calendar
    return release


def _level(line: bytes) -> tuple[object, ...] | None:
    match = LEVEL.fullmatch(line)
    if match is None:
        return None
    numbers = [_integer(match[name]) for name in NUMBERS]
    if any(number is None for number in numbers):
        return None
    return (*numbers, match["pflag"], match["zflag"], match["tflag"])
