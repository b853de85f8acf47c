"""Writing IGRA: exact columns, the inverse of parsing, the same bytes every time."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from dacycle.obs.igra.archive import FolderSource
from dacycle.obs.igra.format import parse
from dacycle.obs.igra.stations import parse_stations
from dacycle.obs.igra.writer import sounding_text, write_archive
from tests.obs.igra_text import Level, header, listed, sounding

LEVELS = (
    Level("21", 0, 101325, 12, -8888, 880, 17, 286, 21, flags="BA "),
    Level("10", 12345, 100, -99, -9999, 0, 0, 360, 9999, flags=" BB"),
    Level("30", wdir=0, wspd=0),
)


def test_the_text_is_exact() -> None:
    texts = [
        sounding(*LEVELS),
        sounding(),
        sounding(Level(), when="2016 01 01 99", reltime="0715"),
        sounding(Level(), lat=-988888, lon=-9988888, reltime="2399"),
        sounding(Level(), lat=500, lon=-1, reltime="9999", p_src="", np_src="x"),
    ]
    text = "".join(texts).encode()
    found = parse(text, "")
    assert found.problems == ()
    assert sounding_text(found) == text
    lengths = {len(line) for line in sounding_text(found).split(b"\n")[:-1]}
    assert lengths == {71, 52}


def test_an_archive_reads_back_and_is_the_same_every_time(tmp_path: Path) -> None:
    stations, _ = parse_stations("\n".join([listed(), listed("AAM00000001")]).encode(), "")
    later = sounding(*LEVELS, when="2016 01 11 00")
    text = later + sounding(*LEVELS, station="AAM00000001", when="2016 01 10 12") + sounding(when="2016 01 10 12")
    soundings = parse(text.encode(), "")
    for name in ("one", "two"):
        write_archive(tmp_path / name, soundings, stations.values(), 2016)
    files = sorted(path.relative_to(tmp_path / "one").as_posix() for path in (tmp_path / "one").rglob("*.*"))
    assert files == [
        "access/data-y2d/AAM00000001-data-beg2016.txt.zip",
        "access/data-y2d/USM00072403-data-beg2016.txt.zip",
        "doc/igra2-station-list.txt",
    ]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with zipfile.ZipFile(tmp_path / "one" / files[1]) as file:
        assert file.namelist() == ["USM00072403-data.txt"]
        assert file.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        lines = file.read("USM00072403-data.txt").decode().splitlines()
    assert lines[0] == header(when="2016 01 10 12", numlev=0)  # in the order of time
    found = FolderSource(tmp_path / "one").fetch(datetime(2016, 1, 10, 12, tzinfo=UTC))
    assert found.problems == ()
    assert found.reports.elevation.tolist() == [95.0, 95.0]
    np.testing.assert_array_equal(found.levels.press, [101325, 100, -9999])
