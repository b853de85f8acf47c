"""The folder source: which soundings belong to a time, and what trouble does not stop."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from dacycle.errors import SourceError
from dacycle.obs.igra.archive import FolderSource
from dacycle.obs.igra.spans import SMALL
from dacycle.obs.source import open_source
from tests.obs.igra_text import Level, archive, listed, put, sounding, zipped

STATION = "USM00072403"
NOON = datetime(2016, 1, 10, 12, tzinfo=UTC)


def soundings(start: datetime, number: int, hours: int = 12, station: str = STATION, levels: int = 2) -> str:
    texts = []
    for k in range(number):
        time = start + timedelta(hours=hours * k)
        lines = [Level(press=100000 - 100 * i, temp=k % 100) for i in range(levels)]
        texts.append(sounding(*lines, station=station, when=f"{time:%Y %m %d %H}", reltime="9999"))
    return "".join(texts)


def hours_of(source: FolderSource, time: datetime, window: float = 3.0) -> list[str]:
    return source.fetch(time, window).reports.nominal.astype(str).tolist()


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_an_absent_or_empty_archive_is_one_clear_line(tmp_path: Path, make: object) -> None:
    make(tmp_path / "archive")  # type: ignore[operator]
    with pytest.raises(
        SourceError, match=r"^source .*archive: expected .*found (nothing|none|a file).*location"
    ) as caught:
        open_source("igra", str(tmp_path / "archive"), tmp_path / "mirror")
    assert "\n" not in str(caught.value)


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="unknown source kind 'bufr'; expected igra"):
        open_source("bufr", str(tmp_path), tmp_path)


def test_the_window_has_its_lower_end_but_not_its_upper(tmp_path: Path) -> None:
    source = FolderSource(archive(tmp_path, {STATION: soundings(datetime(2016, 1, 10, tzinfo=UTC), 24, hours=1)}))
    assert hours_of(source, NOON) == [f"2016-01-10T{hour:02d}" for hour in range(9, 15)]
    assert hours_of(source, NOON, 0.5) == ["2016-01-10T12"]


def test_the_window_reaches_across_new_year_into_the_next_file(tmp_path: Path) -> None:
    archive(tmp_path, {STATION: soundings(datetime(2015, 12, 31, 23, tzinfo=UTC), 1)}, year=2015)
    archive(tmp_path, {STATION: soundings(datetime(2016, 1, 1, 1, tzinfo=UTC), 1)}, year=2016)
    found = hours_of(FolderSource(tmp_path), datetime(2016, 1, 1, tzinfo=UTC))
    assert sorted(found) == ["2015-12-31T23", "2016-01-01T01"]
    assert len(hours_of(FolderSource(tmp_path), datetime(2015, 12, 31, 23, tzinfo=UTC))) == 2


def test_a_sounding_without_nominal_hour_is_found_by_its_release(tmp_path: Path) -> None:
    text = sounding(Level(), when="2016 01 10 99", reltime="1130")
    assert len(FolderSource(archive(tmp_path, {STATION: text})).fetch(NOON)) == 1


def test_a_sounding_in_both_files_counts_once_and_the_year_to_date_stands(tmp_path: Path) -> None:
    archive(tmp_path, {STATION: sounding(Level(temp=1), when="2016 01 10 12")})
    old = sounding(Level(temp=2), when="2016 01 10 12")
    older = sounding(Level(temp=3), when="2016 01 10 12", reltime="1200")
    put(tmp_path, f"access/data-por/{STATION}-data.txt.zip", zipped(old + older))
    found = FolderSource(tmp_path).fetch(NOON)
    assert found.levels.temp.tolist() == [1, 3]  # another release time is another sounding


def test_positions_and_elevations_come_from_the_list_where_the_header_has_none(tmp_path: Path) -> None:
    text = sounding(Level(), when="2016 01 10 12", lat=-988888, lon=-9988888)
    reports = FolderSource(archive(tmp_path, {STATION: text})).fetch(NOON).reports
    assert (reports.lat[0], reports.lon[0], reports.elevation[0]) == (38.9767, -77.4864, 95.0)


def test_an_unlisted_station_has_no_elevation_but_its_soundings(tmp_path: Path) -> None:
    texts = {STATION: soundings(NOON, 1), "XXM00000001": soundings(NOON, 1, station="XXM00000001")}
    found = FolderSource(archive(tmp_path, texts, stations=[listed(STATION)])).fetch(NOON)
    np.testing.assert_array_equal(found.reports.elevation, [95.0, np.nan])
    assert found.problems == ()


def test_without_station_list_there_are_soundings_and_a_problem(tmp_path: Path) -> None:
    archive(tmp_path, {STATION: soundings(NOON, 1)})
    (tmp_path / "doc/igra2-station-list.txt").unlink()
    found = FolderSource(tmp_path).fetch(NOON)
    assert len(found) == 1
    assert "no station list" in str(found.problems[0])


def test_one_bad_zip_stops_nothing(tmp_path: Path) -> None:
    archive(tmp_path, {STATION: soundings(NOON, 1)})
    good = zipped(soundings(NOON, 1), "AAM00000001-data.txt")
    bad = {"AAM00000001": good[:60], "AAM00000002": b"<html>", "AAM00000003": zipped("x", "y"), "AAM00000004": b""}
    for station, content in bad.items():
        put(tmp_path, f"access/data-y2d/{station}-data-beg2016.txt.zip", content)
    put(tmp_path, "access/data-y2d/AAM00000005-data-beg2016.txt.zip", zipped("rubbish", "AAM00000005-data.txt"))
    source = FolderSource(tmp_path)
    found = source.fetch(NOON)
    assert len(found) == 1
    told = {problem.file.split("/")[-1][:11]: problem.text for problem in found.problems}
    assert set(told) == {f"AAM0000000{k}" for k in range(1, 6)}
    assert "truncated or corrupt" in told["AAM00000001"]
    assert "expected a zip archive" in told["AAM00000002"]
    assert "no header of a sounding" in told["AAM00000005"]
    assert source.newest() == NOON


def test_problems_name_the_file_and_its_own_line(tmp_path: Path) -> None:
    first = soundings(datetime(2016, 1, 1, tzinfo=UTC), 40)
    damaged = sounding(Level(temp=1), Level(temp=77), when="2016 01 10 12").replace("   77", "   x7")
    line = first.count("\n") + 3
    texts = {"AAM00000001": soundings(NOON, 1, station="AAM00000001"), STATION: first + damaged}
    found = FolderSource(archive(tmp_path, texts)).fetch(NOON)
    (problem,) = found.problems
    assert (problem.file, problem.line) == (f"access/data-y2d/{STATION}-data-beg2016.txt.zip", line)
    assert problem.column == 23


def test_an_unreadable_header_is_told_with_its_neighbours(tmp_path: Path) -> None:
    text = soundings(NOON, 1) + sounding(Level(), when="2016 13 10 12") + soundings(NOON + timedelta(days=2), 1)
    source = FolderSource(archive(tmp_path, {STATION: text}))
    assert [problem.column for problem in source.fetch(NOON).problems] == [14]
    assert source.fetch(NOON + timedelta(days=2)).problems == ()


def test_a_sounding_of_another_station_is_told(tmp_path: Path) -> None:
    found = FolderSource(archive(tmp_path, {STATION: soundings(NOON, 1, station="AAM00000001")})).fetch(NOON)
    assert len(found) == 1
    assert "another station, AAM00000001" in found.problems[0].text


def test_inputs_are_the_files_that_contributed_with_their_hashes(tmp_path: Path) -> None:
    texts = {STATION: soundings(NOON, 1), "AAM00000001": soundings(NOON + timedelta(days=1), 1, station="AAM00000001")}
    inputs = FolderSource(archive(tmp_path, texts)).fetch(NOON).inputs
    assert [file.name for file in inputs] == [
        "doc/igra2-station-list.txt",
        f"access/data-y2d/{STATION}-data-beg2016.txt.zip",
    ]
    for file in inputs:
        content = (tmp_path / file.name).read_bytes()
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_revised_sounding_has_another_digest(tmp_path: Path) -> None:
    def digest(temp: int) -> str:
        text = sounding(Level(temp=temp), when="2016 01 10 12") + soundings(NOON + timedelta(hours=12), temp)
        return FolderSource(archive(tmp_path, {STATION: text})).fetch(NOON).reports.digest[0].item()

    first = digest(5)
    assert len(first) == 16
    assert digest(6) != first
    assert digest(5) == first


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    source = FolderSource(archive(tmp_path, {STATION: soundings(NOON, 1)}))
    assert source.newest() == NOON
    path = tmp_path / f"access/data-y2d/{STATION}-data-beg2016.txt.zip"
    path.write_bytes(zipped(soundings(NOON, 2)))
    os.utime(path, ns=(1, 1))
    assert source.newest() == NOON + timedelta(hours=12)
    assert len(source.fetch(NOON + timedelta(hours=12))) == 1


def test_a_long_file_is_kept_in_part_and_read_again_when_needed(tmp_path: Path) -> None:
    start = datetime(2016, 1, 1, tzinfo=UTC)
    text = soundings(start, 200, levels=100)
    assert len(text) > 3 * SMALL
    source = FolderSource(archive(tmp_path, {STATION: text}))
    assert source.newest() == start + timedelta(hours=12 * 199)
    for k in (0, 1, 150, 199, 30, 0):
        found = source.fetch(start + timedelta(hours=12 * k))
        assert found.reports.nominal.tolist() == [(start + timedelta(hours=12 * k)).replace(tzinfo=None)]
        assert found.levels.temp.tolist() == [k % 100] * 100
        assert found.problems == ()
    ((_, span),) = source._spans.values()  # type: ignore[misc]
    assert len(span.text) < SMALL  # type: ignore[union-attr]
    assert hours_of(source, start - timedelta(days=30)) == []


def test_a_file_out_of_order_loses_nothing(tmp_path: Path) -> None:
    start = datetime(2016, 1, 1, tzinfo=UTC)
    texts = [soundings(start + timedelta(hours=12 * k), 1, levels=100) for k in range(120)]
    shuffled = [texts[k * 47 % 120] for k in range(120)]
    source = FolderSource(archive(tmp_path, {STATION: "".join(shuffled)}))
    for k in (0, 60, 119):
        assert len(source.fetch(start + timedelta(hours=12 * k))) == 1


def test_a_period_of_record_that_ended_long_ago_is_not_even_opened(tmp_path: Path) -> None:
    archive(tmp_path, {STATION: soundings(NOON, 1)})
    put(tmp_path, "access/data-por/AAM00000001-data.txt.zip", b"never looked at")
    line = listed("AAM00000001").replace("1960 2026", "1960 1999")
    (tmp_path / "doc/igra2-station-list.txt").write_text(f"{listed()}\n{line}\n")
    source = FolderSource(tmp_path)
    assert source.fetch(NOON).problems == ()
    assert source.newest() == NOON
    assert len(source.fetch(datetime(1998, 1, 1, tzinfo=UTC)).problems) == 1


def test_an_archive_of_headers_without_any_time_has_no_newest(tmp_path: Path) -> None:
    source = FolderSource(archive(tmp_path, {STATION: ""}))
    assert source.newest() is None
    assert len(source.fetch(NOON)) == 0


def test_one_wrong_digit_does_not_make_an_archive_look_new(tmp_path: Path) -> None:
    text = soundings(NOON, 2) + sounding(Level(), when="2076 01 11 12")
    source = FolderSource(archive(tmp_path, {STATION: text}))
    assert source.newest() == NOON + timedelta(hours=12)
    assert ["1 soundings dated later than its name allows" in str(p) for p in source.fetch(NOON).problems] == [True]
    only = FolderSource(archive(tmp_path / "only", {STATION: sounding(Level(), when="2076 01 11 12")}))
    assert only.newest() is None
    assert "dated after 2017" in str(only.fetch(NOON).problems[0])
