"""The station list, a line at a time."""

import pytest

from dacycle.obs.igra.stations import parse_stations, station_line
from tests.obs.igra_text import listed


def test_every_column() -> None:
    stations, problems = parse_stations(f"{listed()}\n".encode(), "list")
    assert not problems
    station = stations["USM00072403"]
    assert (station.lat, station.lon, station.elevation) == (38.9767, -77.4864, 95.0)
    assert (station.state, station.name) == ("VA", "STERLING")
    assert (station.first_year, station.last_year, station.soundings) == (1960, 2026, 70000)


def test_mobile_and_unknown_elevations_are_none() -> None:
    lines = [listed("ZZV0000DBLK", -98.8888, -998.8888, -998.8), listed("AFM00040911", 36.7, 67.2, -999.9)]
    stations, _ = parse_stations("\n".join(lines).encode(), "list")
    ship = stations["ZZV0000DBLK"]
    assert (ship.lat, ship.lon, ship.elevation, ship.mobile) == (None, None, None, True)
    assert stations["AFM00040911"].elevation is None
    assert not stations["AFM00040911"].mobile


def test_a_line_without_id_is_passed_over() -> None:
    stations, problems = parse_stations((" " * 11 + listed()[11:] + "\n" + listed()).encode(), "list")
    assert list(stations) == ["USM00072403"]
    assert problems == ()


@pytest.mark.parametrize(
    "text", ["SHORT", "USM00072403 north", listed(lat=91.0), listed()[:70], "<!DOCTYPE html><html>"]
)
def test_what_is_no_line_is_told_with_its_number(text: str) -> None:
    stations, problems = parse_stations(f"{listed()}\n{text}\n".encode(), "list")
    assert len(stations) == 1
    assert [(problem.file, problem.line) for problem in problems] == [("list", 2)]


def test_columns_count_characters_not_bytes() -> None:
    line = listed().replace("STERLING ", "KOŠUTNJAK")
    stations, problems = parse_stations(line.encode(), "list")
    assert not problems
    assert stations["USM00072403"].name == "KOŠUTNJAK"
    assert stations["USM00072403"].first_year == 1960


def test_bytes_that_are_no_text_do_not_stop_the_list() -> None:
    stations, problems = parse_stations(b"\xff\xfe\x00\n" + listed().encode(), "list")
    assert len(stations) == 1
    assert len(problems) == 1


def test_writing_is_the_inverse_of_reading() -> None:
    lines = [listed(), listed("ZZV0000DBLK", -98.8888, -998.8888, -998.8), listed("AFM00040911", 36.7, 67.2, -999.9)]
    stations, _ = parse_stations("\n".join(lines).encode(), "list")
    assert [station_line(station) for station in stations.values()] == lines
