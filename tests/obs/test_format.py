"""The parser: every column, every trap, and no sounding lost beside a damaged line."""

import numpy as np
import pytest

from dacycle.obs.igra.format import MAX_PROBLEMS, index, parse
from dacycle.obs.soundings import Soundings, decode
from tests.obs.igra_text import Level, header, sounding


def read(text: str) -> Soundings:
    return parse(text.encode(), "f.txt")


def test_every_header_column() -> None:
    reports = read(sounding(Level(press=50000), when="2016 02 29 12", reltime="1105")).reports
    assert {name: column[0].item() for name, column in reports.columns().items() if name[0] not in "nrl"} == {
        "station": "USM00072403",
        "declared": 1,
        "p_src": "ncdc-nws",
        "elevation": pytest.approx(float("nan"), nan_ok=True),
        "first": 0,
        "count": 1,
        "begin": 0,
        "end": 72 + 53,
        "digest": "",
    }
    assert reports.np_src[0] == "ncdc-gts"
    assert (reports.lat[0], reports.lon[0]) == (38.9767, -77.4864)
    assert reports.nominal[0] == np.datetime64("2016-02-29T12")
    assert reports.release[0] == np.datetime64("2016-02-29T11:05")
    assert reports.reltime[0] == 1105
    assert reports.key[0] == "USM00072403 2016-02-29T12 1105"


def test_every_level_column() -> None:
    line = "21 12345  97904B 1234A  -44   880    17   286    21 "
    found = read(f"{header(numlev=1)}\n{line}\n").levels
    values = {name: column[0].item() for name, column in found.columns().items()}
    assert values == {
        "major": 2,
        "minor": 1,
        "etime": 12345,
        "press": 97904,
        "pflag": b"B",
        "gph": 1234,
        "zflag": b"A",
        "temp": -44,
        "tflag": b" ",
        "rh": 880,
        "dpdp": 17,
        "wdir": 286,
        "wspd": 21,
    }


@pytest.mark.parametrize(
    ("when", "reltime", "release"),
    [
        ("2016 01 01 00", "2302", "2015-12-31T23:02"),  # left the ground the day before
        ("2016 01 01 12", "1105", "2016-01-01T11:05"),
        ("2016 12 31 23", "0010", "2017-01-01T00:10"),
        ("2016 01 01 12", "0000", "2016-01-01T00:00"),  # twelve hours exactly stay on the date
        ("2016 01 01 00", "2399", "2015-12-31T23:00"),  # the hour alone is known
        ("2016 01 01 00", "9999", "NaT"),
        ("2016 01 01 99", "2302", "2016-01-01T23:02"),  # no nominal hour to be near to
    ],
)
def test_release_time_belongs_to_the_nominal_date(when: str, reltime: str, release: str) -> None:
    found = read(sounding(Level(press=50000), when=when, reltime=reltime))
    np.testing.assert_array_equal(found.reports.release, np.array([release], "datetime64[m]"))
    assert not found.problems


def test_hour_99_is_not_midnight() -> None:
    reports = read(sounding(Level(), when="2016 01 01 99", reltime="1830")).reports
    assert np.isnat(reports.nominal[0])
    assert reports.reference[0] == np.datetime64("2016-01-01T18:30")


def test_a_sounding_without_any_time_is_dropped_and_told() -> None:
    text = sounding(Level(press=1), when="2016 01 01 99", reltime="9999") + sounding(Level(press=2), Level(press=3))
    found = read(text)
    assert found.levels.press.tolist() == [2, 3]
    assert found.reports.first.tolist() == [0]
    (problem,) = found.problems
    assert (problem.line, problem.column) == (1, 25)
    assert "neither hour nor release time" in problem.text


@pytest.mark.parametrize(
    ("lat", "lon", "expected"),
    [
        (500, -500, (0.05, -0.05)),  # not 50 degrees, and not degrees and minutes
        (-900000, 1800000, (-90.0, 180.0)),
        (-9999, 100000, (np.nan, np.nan)),  # not -0.9999 degrees
        (100000, -9999, (np.nan, np.nan)),
        (-988888, -9988888, (np.nan, np.nan)),  # mobile
    ],
)
def test_positions(lat: int, lon: int, expected: tuple[float, float]) -> None:
    found = read(sounding(Level(), lat=lat, lon=lon))
    np.testing.assert_array_equal([found.reports.lat[0], found.reports.lon[0]], expected)
    assert not found.problems


def test_a_position_off_the_globe_is_missing_and_told() -> None:
    found = read(sounding(Level(), lat=900001))
    assert np.isnan(found.reports.lat[0])
    assert (found.problems[0].line, found.problems[0].column) == (1, 56)


def test_a_release_time_that_is_none_is_missing_and_told() -> None:
    found = read(sounding(Level(), reltime="2475"))
    assert np.isnat(found.reports.release[0])
    assert found.reports.reltime[0] == 9999
    assert found.problems[0].column == 28


def test_sentinels_are_tested_before_scaling() -> None:
    column = np.array([-9999, -8888, -99999, -9998, 0, 123], np.int32)
    np.testing.assert_allclose(decode(column, 0.1), [np.nan, np.nan, np.nan, -999.8, 0.0, 12.3])


def test_lines_of_51_and_52_characters_and_carriage_returns_are_alike() -> None:
    body = str(Level(press=50000, temp=-123))
    texts = [f"{header()}\n{line}\n" for line in (body, body[:51], f"{body}\r", f"{body[:51]}\r", f"{body}   ")]
    texts += [texts[0].rstrip("\n"), texts[0].replace("\n", "\r\n")]
    for text in texts:
        found = read(text)
        assert not found.problems
        assert found.levels.temp.tolist() == [-123]


def test_level_types_include_pilot_balloons_and_undocumented_zero() -> None:
    found = read(sounding(Level("30", gph=900, wdir=90, wspd=55), Level("01", wdir=170, wspd=36)))
    assert found.levels.major.tolist() == [3, 0]
    assert found.levels.press.tolist() == [-9999, -9999]
    assert not found.problems


def test_header_only_soundings_are_soundings() -> None:
    found = read(sounding() + sounding(Level(press=1)) + sounding())
    assert found.reports.count.tolist() == [0, 1, 0]
    assert found.reports.first.tolist() == [0, 0, 1]
    assert found.owner.tolist() == [1]
    assert not found.problems


GOOD = [Level(press=100000 - k, temp=k) for k in range(3)]


def damaged(line: int, text: str) -> str:
    """Three soundings of three levels, one line of the middle one (line 5 is its header) replaced."""
    lines = (sounding(*GOOD) + sounding(*GOOD) + sounding(*GOOD)).splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("wrong", "column"),
    [
        ("", None),
        ("10", 3),
        (str(GOOD[0])[:50], 51),
        (str(GOOD[0]).replace("100000", "1x0000"), 10),
        ("40" + str(GOOD[0])[2:], 1),
        ("13" + str(GOOD[0])[2:], 2),
        (str(GOOD[0])[:15] + "?" + str(GOOD[0])[16:], 16),
        (str(GOOD[0])[:33] + "7" + str(GOOD[0])[34:], 34),
        (str(GOOD[0])[:46] + "- 99 ", 47),
        (str(GOOD[0])[:51] + "7", 52),
        (str(GOOD[0]) + str(GOOD[0]), 52),
        ("\x00" * 52, 1),
        ("é" * 26, 1),
    ],
)
def test_a_damaged_level_costs_itself_alone(wrong: str, column: int | None) -> None:
    found = read(damaged(7, wrong))
    assert found.reports.count.tolist() == [3, 2, 3]
    assert found.levels.temp.tolist() == [0, 1, 2, 0, 2, 0, 1, 2]
    places = [(problem.file, problem.line, problem.column) for problem in found.problems]
    # An empty line is not a level: what is told is that the sounding has too few.
    assert places == [("f.txt", 7, column) if column else ("f.txt", 5, 33)]


@pytest.mark.parametrize(
    ("wrong", "column"),
    [
        ("#", 2),
        (header()[:70], 71),
        (header(when="2016 02 30 00", numlev=3), 14),
        (header(when="2016 13 01 00", numlev=3), 14),
        (header(when="2016 01 01 24", numlev=3), 14),
        (header(when="20x6 01 01 00", numlev=3), 14),
        (header().replace("   1 ncdc-nws", "   x ncdc-nws"), 33),
        (header(station="USM 0072403", numlev=3), 2),
        (header(numlev=3) + "7", 72),
        (header(numlev=3).replace(" 2302 ", " 2302x"), 32),
    ],
)
def test_a_damaged_header_costs_its_sounding_alone(wrong: str, column: int) -> None:
    found = read(damaged(5, wrong))
    assert found.reports.count.tolist() == [3, 3]
    assert found.levels.temp.tolist() == [0, 1, 2, 0, 1, 2]
    assert [(problem.line, problem.column) for problem in found.problems] == [(5, column)]


def test_levels_of_a_lost_header_do_not_join_the_sounding_before() -> None:
    found = read(damaged(5, "nothing like a header"))
    assert found.reports.count.tolist() == [3, 3]
    assert [(problem.line, problem.text) for problem in found.problems] == [(5, "levels beyond NUMLEV, skipped")]


def test_levels_before_the_first_header_are_told() -> None:
    found = read(f"{Level()}\n{sounding(Level(press=7))}")
    assert found.levels.press.tolist() == [7]
    assert [(problem.line, problem.text) for problem in found.problems] == [(1, "levels without a header, skipped")]


def test_a_truncated_sounding_keeps_what_is_there() -> None:
    text = sounding(*GOOD)
    found = read(text[: len(text) - 60])
    assert found.reports.count.tolist() == [1]
    assert [(problem.line, problem.column) for problem in found.problems] == [(1, 33), (3, 47)]


def test_problems_are_bounded() -> None:
    found = read(header(numlev=9999) + "\n" + "x\n" * (2 * MAX_PROBLEMS))
    assert len(found.problems) == MAX_PROBLEMS + 1
    assert found.problems[-1].text == "more problems follow"


def test_line_numbers_count_from_where_the_text_begins() -> None:
    assert parse(b"x\n", "f.txt", first_line=100).problems[0].line == 100


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n", "x", "#", "\r\n"])
def test_nothing_gives_no_soundings(text: str) -> None:
    found = read(text)
    assert len(found) == 0
    assert len(found.levels) == 0


def test_index_places_unreadable_headers_beside_their_neighbours() -> None:
    texts = [
        sounding(Level(), when="2016 01 01 99", reltime="9999"),
        sounding(Level(), when="2016 01 02 00"),
        sounding(Level(), when="2016 13 02 00"),
        sounding(Level(), when="2016 01 03 12"),
    ]
    begin, times = index("".join(texts).encode())
    assert begin.tolist() == np.cumsum([0, *map(len, texts[:-1])]).tolist()
    expected = ["2016-01-02T00:00", "2016-01-02T00:00", "2016-01-02T00:00", "2016-01-03T12:00"]
    assert times.astype(str).tolist() == expected


def test_index_does_not_take_a_hash_within_a_line_for_a_header() -> None:
    begin, _ = index(f"{header(p_src='ncdc#nws')}\n#".encode())
    assert begin.tolist() == [0, 72]


def test_selecting_soundings_takes_their_levels_along() -> None:
    found = read(sounding(*GOOD) + sounding(Level(temp=7)) + sounding(*GOOD[:2]))
    chosen = found.select(np.array([2, 1]))
    assert chosen.levels.temp.tolist() == [0, 1, 7]
    assert chosen.reports.first.tolist() == [0, 2]
    assert chosen.owner.tolist() == [0, 0, 1]
