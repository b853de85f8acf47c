"""The station list of IGRA v2.

88 characters, columns from 1: ID 1-11 | LAT 13-20 | LON 22-30 | ELEV 32-37 | STATE 39-40 | NAME 42-71 | FSTYEAR 73-76 |
LSTYEAR 78-81 | NOBS 83-88. Characters, not bytes: names are in UTF-8. Mobile stations have -98.8888, -998.8888,
-998.8; a missing elevation is -999.9. The real list has a line without an ID, which is of no use to anyone.
"""

from dataclasses import dataclass

from dacycle.obs.soundings import Problem

__all__ = ["Station", "parse_stations", "station_line"]

MISSING_ELEVATION = -999.9
MOBILE_ELEVATION = -998.8
MOBILE_LAT, MOBILE_LON = -98.8888, -998.8888


@dataclass(frozen=True)
class Station:
    """One station. ``lat``, ``lon`` (degrees) are None for a mobile one, ``elevation`` (m) None when unknown."""

    id: str
    lat: float | None
    lon: float | None
    elevation: float | None
    state: str
    name: str
    first_year: int
    last_year: int
    soundings: int

    @property
    def mobile(self) -> bool:
        """Ships and buoys: the position is in each header."""
        return self.lat is None


def parse_stations(text: bytes, file: str) -> tuple[dict[str, Station], tuple[Problem, ...]]:
    """The stations by ID, and the lines that could not be read; lines without ID are passed over."""
    stations: dict[str, Station] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        if not line[:11].strip():
            continue
        try:
            station = _station(line)
        except ValueError as error:
            problems.append(Problem(file, number, None, f"not a line of the station list: {error}"))
        else:
            stations[station.id] = station
    return stations, tuple(problems)


def _station(line: str) -> Station:
    identifier = line[:11].strip()
    if len(identifier) != 11:
        raise ValueError(f"the ID {identifier!r} has not 11 characters")
    lat, lon, elevation = float(line[12:20]), float(line[21:30]), float(line[31:37])
    placed = abs(lat) <= 90 and -180 <= lon <= 360
    if not placed and (lat, lon) != (MOBILE_LAT, MOBILE_LON):
        raise ValueError(f"the position {lat}, {lon} is not on the globe")
    return Station(
        identifier,
        lat if placed else None,
        lon if placed else None,
        None if elevation in (MISSING_ELEVATION, MOBILE_ELEVATION) else elevation,
        line[38:40].strip(),
        line[41:71].strip(),
        int(line[72:76]),
        int(line[77:81]),
        int(line[82:88]),
    )


def station_line(station: Station) -> str:
    """The 88 characters of a station; the inverse of parsing."""
    lat = MOBILE_LAT if station.lat is None else station.lat
    lon = MOBILE_LON if station.lon is None else station.lon
    unknown = MOBILE_ELEVATION if station.mobile else MISSING_ELEVATION
    elevation = unknown if station.elevation is None else station.elevation
    place = f"{station.id:11.11} {lat:8.4f} {lon:9.4f} {elevation:6.1f} {station.state:2.2} {station.name:30.30}"
    return f"{place} {station.first_year:4d} {station.last_year:4d} {station.soundings:6d}"
