"""An archive that is large, slow, changing or hostile as a whole: ingest ends in time, with a result or a reason."""

import os
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dacycle.errors import SourceError
from dacycle.obs.igra.http import HttpSource
from dacycle.obs.igra.listing import parse_listing
from dacycle.obs.igra.mirror import Mirror, Note
from dacycle.obs.igra.transfer import Limits, Validators
from tests.obs.igra_text import Level, archive, listed, put, sounding, zipped
from tests.obs.server import Handler, Site, serving

NOON = datetime(2016, 1, 10, 12, tzinfo=UTC)
QUICK = {"attempts": 3, "backoff": 0.01, "longest": 0.05}
PAGE = Limits(4 << 20, seconds=5, **QUICK)  # type: ignore[arg-type]
FILE = Limits(1 << 20, seconds=5, **QUICK)  # type: ignore[arg-type]
LISTING = "/access/data-y2d/"


def text(station: str, temp: int = 0) -> str:
    return sounding(Level(press=50000, temp=temp), station=station, when="2016 01 10 12")


def name(station: str) -> str:
    return f"access/data-y2d/{station}-data-beg2016.txt.zip"


def whole(root: Path) -> bool:
    """Nothing half-written: every zip opens, and no temporary is left."""
    paths = [path for path in root.rglob("*") if path.is_file()]
    return all(zipfile.ZipFile(p).testzip() is None for p in paths if p.suffix == ".zip") and not any(
        path.name.startswith(".") for path in paths
    )


def test_of_ten_thousand_stations_only_the_changed_are_fetched(tmp_path: Path) -> None:
    stations = [f"AAM{k:08d}" for k in range(10_000)]
    stamp = time.strftime("%Y-%m-%d %H:%M", time.gmtime(0))
    rows, mirror = [], Mirror(tmp_path / "mirror")
    content = zipped(text("AAM00000000"), "AAM00000000-data.txt")
    (tmp_path / "mirror").mkdir()
    for station in stations:
        rows.append(f'<a href="{station}-data-beg2016.txt.zip">x</a> {stamp} {len(content)}')
    with mirror.writing():
        for k, station in enumerate(stations):
            if k % 200:  # fifty of them are new; these were mirrored before, in an instant rather than a minute
                put(tmp_path / "mirror", name(station), b"")
                mirror._notes[name(station)] = Note(f"{stamp} {len(content)}", "", "", 0)
    server = archive(tmp_path / "server", {station: text(station) for station in stations[::200]})
    with serving(server) as site:
        page = "\n".join(rows).encode()
        site.tricks[LISTING] = lambda handler: handler.reply(200, page)
        source = HttpSource(site.url, tmp_path / "mirror", PAGE, FILE)
        start = time.monotonic()
        assert source.refresh(NOON) == ()
        assert time.monotonic() - start < 20
        assert sum(n for path, n in site.asked.items() if path.endswith(".zip")) == 50
        found = source.fetch(NOON)
    assert len(found) == 50
    assert len(found.problems) == 9950  # the empty files, each told, none in the way


def test_an_endless_listing_of_names_is_cut() -> None:
    page = "".join(f'<a href="AAM{k:08d}-data.txt.zip">x</a>' for k in range(60_000))
    start = time.monotonic()
    assert len(parse_listing(page)) == 40_000
    assert time.monotonic() - start < 10


def test_a_listing_without_end_of_tags_takes_no_time() -> None:
    for page in ("<a " * 200_000, '<a href="' * 100_000, "<a href='x" + "<" * 500_000, '<a href="x">' + "9" * 500_000):
        start = time.monotonic()
        parse_listing(page)
        assert time.monotonic() - start < 5


@pytest.fixture
def site(tmp_path: Path):  # type: ignore[no-untyped-def]
    stations = [f"AAM{k:08d}" for k in range(12)]
    with serving(archive(tmp_path / "server", {station: text(station) for station in stations})) as site:
        yield site


def test_a_slow_archive_is_left_after_the_time_allowed_and_resumed(site: Site, tmp_path: Path) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.3)
        handler.serve()

    for k in range(12):
        site.tricks["/" + name(f"AAM{k:08d}")] = slow
    first = HttpSource(site.url, tmp_path / "mirror", PAGE, FILE, seconds=0.1)
    start = time.monotonic()
    problems = first.refresh(NOON)
    assert time.monotonic() - start < 5
    assert 0 < len(problems) < 12
    assert {problem.text.split(":")[0] for problem in problems} == {"not asked for"}
    assert len(first.fetch(NOON)) == 12 - len(problems)
    site.tricks.clear()
    assert HttpSource(site.url, tmp_path / "mirror", PAGE, FILE).refresh(NOON) == ()
    assert max(site.asked[path] for path in site.asked if path.endswith(".zip")) == 1
    assert whole(tmp_path / "mirror")


def test_a_file_that_changes_while_it_is_read_is_not_a_mixture(site: Site, tmp_path: Path) -> None:
    station = "AAM00000003"
    many = [sounding(*(Level(temp=t * k % 997) for t in range(40)), station=station) for k in (3, 5)]
    old, new = (zipped(before + text(station, temp=7), f"{station}-data.txt") for before in many)

    def changing(handler: Handler) -> None:
        """The first half of the old version, the rest of the new one, and a length that fits."""
        half = len(old) // 2
        mixed = old[:half] + new[half:]
        put(site.root, name(station), new)
        handler.reply(200, mixed, {"ETag": '"old"'})

    site.once("/" + name(station), changing)
    source = HttpSource(site.url, tmp_path / "mirror", PAGE, FILE)
    (problem,) = source.refresh(NOON)
    assert "truncated or corrupt zip" in problem.text
    assert len(source.fetch(NOON)) == 11
    assert source.refresh(NOON) == ()
    found = source.fetch(NOON)
    assert found.levels.temp[found.reports.station[found.owner] == station].tolist() == [7]
    assert whole(tmp_path / "mirror")


def test_every_file_hostile_leaves_the_archive_as_it_was(site: Site, tmp_path: Path) -> None:
    source = HttpSource(site.url, tmp_path / "mirror", PAGE, FILE)
    assert source.refresh(NOON) == ()
    before = {path: path.read_bytes() for path in (tmp_path / "mirror").rglob("*.zip")}
    tricks = [
        lambda h: h.reply(200, b"<html>maintenance</html>"),
        lambda h: h.reply(503, b"", {"Retry-After": "0"}),
        lambda h: h.reply(302, b"", {"Location": h.path}),
        lambda h: h.reply(302, b"", {"Location": "file:///etc/passwd"}),
        lambda h: h.reply(200, b"PK", claim=1 << 40),
        lambda h: h.reply(206, b"PK", {"Content-Range": "bytes 5-7/8"}),
        lambda h: h.reply(200, before[next(iter(before))][:60], claim=4000),
        lambda h: h.connection.close(),
        lambda h: h.reply(200, b""),
        lambda h: h.reply(200, zipped(text("AAM99999999"), "AAM99999999-data.txt")),
        lambda h: h.reply(500, b"x" * 100_000),
        lambda h: h.reply(404, b""),
    ]
    for k, trick in enumerate(tricks):
        path = put(site.root, name(f"AAM{k:08d}"), b"another version")
        os.utime(path, (1_600_000_000, 1_600_000_000))
        site.tricks["/" + name(f"AAM{k:08d}")] = trick
    start = time.monotonic()
    problems = source.refresh(NOON)
    assert time.monotonic() - start < 20
    assert len(problems) == len(tricks)
    assert all(problem.text and problem.file for problem in problems)
    assert {path: path.read_bytes() for path in (tmp_path / "mirror").rglob("*.zip")} == before
    assert len(source.fetch(NOON)) == 12
    assert whole(tmp_path / "mirror")


@pytest.mark.parametrize("page", [b"", b"<html>maintenance</html>", b"\xff\xfe\x00" * 1000, b'<a href="x">' * 9999])
def test_a_listing_that_is_none_leaves_the_mirror_and_says_so(site: Site, tmp_path: Path, page: bytes) -> None:
    source = HttpSource(site.url, tmp_path / "mirror", PAGE, FILE)
    source.refresh(NOON)
    site.tricks[LISTING] = lambda handler: handler.reply(200, page)
    assert any("names no <ID>-data" in problem.text for problem in source.refresh(NOON))
    assert len(source.fetch(NOON)) == 12
    with pytest.raises(SourceError, match="expected an archive of soundings, got none"):
        HttpSource(site.url, tmp_path / "other", PAGE, FILE).refresh()


def test_the_same_content_anew_is_not_written_again(site: Site, tmp_path: Path) -> None:
    site.apache = site.validators = False
    source = HttpSource(site.url, tmp_path / "mirror", PAGE, FILE)
    source.refresh(NOON)
    before = {path: path.stat().st_ino for path in (tmp_path / "mirror").rglob("*.zip")}
    source.refresh(NOON)
    assert {path: path.stat().st_ino for path in (tmp_path / "mirror").rglob("*.zip")} == before


def test_a_station_that_left_the_archive_keeps_its_file(site: Site, tmp_path: Path) -> None:
    source = HttpSource(site.url, tmp_path / "mirror", PAGE, FILE)
    source.refresh(NOON)
    (site.root / name("AAM00000004")).unlink()
    put(site.root, "doc/igra2-station-list.txt", f"{listed('AAM00000001')}\n".encode())
    assert source.refresh(NOON) == ()
    assert len(source.fetch(NOON)) == 12


def test_notes_of_a_whole_mirror_are_kept_by_name(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    with mirror.writing():
        mirror.keep("a/b.zip", b"1234", "2024-01-05 10:22 4", Validators('"x"', ""))
    note = Mirror(tmp_path).note("a/b.zip")
    assert note is not None
    assert (note.listed, note.etag, note.size) == ("2024-01-05 10:22 4", '"x"', 4)
