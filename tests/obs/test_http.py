"""The HTTP source against a real server on loopback, honest and hostile."""

import hashlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dacycle.errors import SourceError
from dacycle.obs.igra.http import HttpSource
from dacycle.obs.igra.transfer import Limits
from dacycle.obs.source import open_source
from tests.obs.igra_text import Level, archive, listed, put, sounding, zipped
from tests.obs.server import Handler, Site, serving

NOON = datetime(2016, 1, 10, 12, tzinfo=UTC)
STATIONS = ("AAM00000001", "AAM00000002", "AAM00000003")
FILE = "/access/data-y2d/AAM00000002-data-beg2016.txt.zip"
LISTING = "/access/data-y2d/"
LIST = "/doc/igra2-station-list.txt"
QUICK = {"attempts": 3, "backoff": 0.01, "longest": 0.05}


def text(station: str, temp: int = 0, times: int = 1) -> str:
    hours = [NOON + timedelta(hours=12 * k) for k in range(times)]
    return "".join(sounding(Level(press=50000, temp=temp), station=station, when=f"{t:%Y %m %d %H}") for t in hours)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(archive(tmp_path / "server", {station: text(station) for station in STATIONS})) as site:
        yield site


@pytest.fixture
def source(site: Site, tmp_path: Path) -> HttpSource:
    return HttpSource(
        site.url, tmp_path / "mirror", Limits(1 << 20, seconds=5, **QUICK), Limits(1 << 20, seconds=5, **QUICK)
    )


def change(site: Site, path: str, content: bytes, age: int = 0) -> None:
    """A new version on the server; ``age``: seconds by which its date differs."""
    target = put(site.root, path.strip("/"), content)
    os.utime(target, (1_600_000_000 + age, 1_600_000_000 + age))


def temps(source: HttpSource) -> list[int]:
    return source.fetch(NOON).levels.temp.tolist()


def partials(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".")]


def test_a_server_gives_what_its_folder_gives(site: Site, tmp_path: Path) -> None:
    over_http = open_source("igra", f"{site.url}/", tmp_path / "mirror")
    folder = open_source("igra", str(site.root), tmp_path / "unused")
    assert over_http.newest() == folder.newest() == NOON
    found, expected = over_http.fetch(NOON), folder.fetch(NOON)
    assert found.reports.key.tolist() == expected.reports.key.tolist()
    assert found.reports.digest.tolist() == expected.reports.digest.tolist()
    assert found.inputs == expected.inputs
    assert found.problems == ()


def test_opening_asks_for_nothing(site: Site, tmp_path: Path) -> None:
    open_source("igra", site.url, tmp_path / "mirror")
    assert not site.asked


def test_what_is_listed_unchanged_is_not_asked_for_again(site: Site, source: HttpSource) -> None:
    for _ in range(3):
        assert source.refresh(NOON) == ()
    assert site.asked[FILE] == 1
    assert site.asked[LISTING] == 3
    assert site.statuses[LIST, 304] == 2


def test_the_notes_survive_a_restart(site: Site, source: HttpSource, tmp_path: Path) -> None:
    source.refresh(NOON)
    again = HttpSource(site.url, tmp_path / "mirror")
    again.refresh(NOON)
    assert site.asked[FILE] == 1
    assert temps(again) == [0, 0, 0]


@pytest.mark.parametrize("apache", [True, False])
@pytest.mark.parametrize("validators", [True, False])
def test_a_changed_file_is_fetched_and_nothing_else(
    site: Site, source: HttpSource, apache: bool, validators: bool
) -> None:
    site.apache, site.validators = apache, validators
    source.refresh(NOON)
    assert temps(source) == [0, 0, 0]
    change(site, FILE, zipped(text("AAM00000002", temp=5), "AAM00000002-data.txt"), age=3600)
    assert source.refresh(NOON) == ()
    assert temps(source) == [0, 5, 0]
    assert site.statuses[FILE, 200] == 2
    other = FILE.replace("0002-", "0003-")
    # Neither listed date nor validators: only the content itself can tell.
    assert site.statuses[other, 200] == (1 if apache or validators else 2)


def test_a_lost_file_is_fetched_again(site: Site, source: HttpSource, tmp_path: Path) -> None:
    source.refresh(NOON)
    (tmp_path / "mirror" / FILE.strip("/")).write_bytes(b"short")
    assert source.refresh(NOON) == ()
    assert temps(source) == [0, 0, 0]


def html(handler: Handler) -> None:
    handler.reply(200, b"<!DOCTYPE html><html>We are down for maintenance</html>")


def truncated(handler: Handler) -> None:
    content = (handler.site.root / FILE.strip("/")).read_bytes()
    handler.reply(200, content[: len(content) // 2])


def short(handler: Handler) -> None:
    content = (handler.site.root / FILE.strip("/")).read_bytes()
    handler.reply(200, content[: len(content) // 2], claim=len(content))
    handler.close_connection = True


def wrong_member(handler: Handler) -> None:
    handler.reply(200, zipped(text("AAM00000002"), "../../AAM00000002-data.txt"))


def bomb(handler: Handler) -> None:
    handler.reply(200, zipped("0" * (4 << 20), "AAM00000002-data.txt"))


def endless(handler: Handler) -> None:
    handler.reply(200, b"PK", claim=1 << 40)


def boundless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(64):
        handler.wfile.write(b"P" * (1 << 16))


def loop(handler: Handler) -> None:
    handler.reply(302, b"", {"Location": FILE})


def hang_up(handler: Handler) -> None:
    handler.connection.close()


def busy(handler: Handler) -> None:
    handler.reply(503, b"", {"Retry-After": "3600"})


def gone(handler: Handler) -> None:
    handler.reply(404, b"<html></html>")


def unasked(handler: Handler) -> None:
    handler.reply(304, b"")


HOSTILE = {
    html: "expected a zip archive",
    truncated: "truncated or corrupt zip",
    short: "after 3 attempts",
    wrong_member: "expected one member",
    bomb: "a zip bomb",
    endless: "expected at most 1048576",
    boundless: "expected at most",
    loop: "redirect",
    hang_up: "after 3 attempts",
    busy: "status 503",
    gone: "expected status 200, got 404",
}


@pytest.mark.parametrize("trick", HOSTILE, ids=lambda trick: trick.__name__)
def test_a_hostile_answer_leaves_the_old_file_and_a_reason(
    site: Site, source: HttpSource, tmp_path: Path, trick: object
) -> None:
    source.refresh(NOON)
    change(site, FILE, zipped(text("AAM00000002", temp=5), "AAM00000002-data.txt"))
    site.tricks[FILE] = trick  # type: ignore[assignment]
    start = time.monotonic()
    (problem,) = source.refresh(NOON)
    assert time.monotonic() - start < 10
    assert HOSTILE[trick] in problem.text  # type: ignore[index]
    assert problem.file == FILE.strip("/")
    assert temps(source) == [0, 0, 0]
    assert partials(tmp_path / "mirror") == []
    del site.tricks[FILE]
    assert source.refresh(NOON) == ()
    assert temps(source) == [0, 5, 0]


@pytest.mark.parametrize("trick", [*HOSTILE, unasked], ids=lambda trick: trick.__name__)
def test_a_hostile_answer_at_first_leaves_the_other_stations(
    site: Site, source: HttpSource, tmp_path: Path, trick: object
) -> None:
    site.tricks[FILE] = trick  # type: ignore[assignment]
    assert [problem.file for problem in source.refresh(NOON)] == [FILE.strip("/")]
    assert len(source.fetch(NOON)) == 2
    assert not (tmp_path / "mirror" / FILE.strip("/")).exists()


@pytest.mark.parametrize("trick", [short, hang_up, busy], ids=lambda trick: trick.__name__)
def test_passing_trouble_is_overcome(site: Site, source: HttpSource, trick: object) -> None:
    site.once(FILE, trick, times=2)  # type: ignore[arg-type]
    assert source.refresh(NOON) == ()
    assert temps(source) == [0, 0, 0]
    assert site.asked[FILE] == 3


def test_an_interrupted_download_goes_on_where_it_stopped(site: Site, source: HttpSource) -> None:
    content = (site.root / FILE.strip("/")).read_bytes()

    def interrupted(handler: Handler) -> None:
        tag = f'"{hashlib.sha256(content).hexdigest()[:12]}"'
        handler.reply(200, content[:50], {"ETag": tag}, claim=len(content))
        handler.close_connection = True

    site.once(FILE, interrupted)
    assert source.refresh(NOON) == ()
    assert site.statuses[FILE, 206] == 1
    assert temps(source) == [0, 0, 0]


def test_a_file_that_changes_between_attempts_is_not_patched_together(site: Site, source: HttpSource) -> None:
    def interrupted(handler: Handler) -> None:
        handler.reply(200, b"PK of another version", {"ETag": '"old"'}, claim=5000)
        handler.close_connection = True

    site.once(FILE, interrupted)
    assert source.refresh(NOON) == ()
    assert temps(source) == [0, 0, 0]


def test_a_dripping_server_is_left_after_the_time_allowed(site: Site, tmp_path: Path) -> None:
    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b"PK")
            handler.wfile.flush()
            time.sleep(0.05)

    site.tricks[FILE] = drip
    source = HttpSource(site.url, tmp_path / "mirror", file=Limits(1 << 20, seconds=0.5, **QUICK))
    start = time.monotonic()
    (problem,) = source.refresh(NOON)
    assert time.monotonic() - start < 5
    assert "not complete after" in problem.text
    assert len(source.fetch(NOON)) == 2


def test_a_server_that_is_down_is_given_up_soon(tmp_path: Path) -> None:
    stations = [f"AAM{k:08d}" for k in range(60)]
    with serving(archive(tmp_path / "server", {station: text(station) for station in stations})) as site:
        for station in stations:
            site.tricks[f"/access/data-y2d/{station}-data-beg2016.txt.zip"] = hang_up
        source = HttpSource(site.url, tmp_path / "mirror", file=Limits(1 << 20, **QUICK))
        with pytest.raises(SourceError, match="expected an archive of soundings, got none"):
            source.refresh(NOON)
        assert sum(site.asked[path] for path in site.tricks) < 3 * 20


def test_no_server_and_no_mirror_is_one_clear_line(tmp_path: Path) -> None:
    source = HttpSource("http://127.0.0.1:1", tmp_path / "mirror", Limits(1000, **QUICK), Limits(1000, **QUICK))
    with pytest.raises(SourceError, match=r"^cannot reach 127.0.0.1:1: \w.*refused .after 3 .*; check \[source\]"):
        source.fetch(NOON)


def test_no_server_but_a_mirror_goes_on_with_a_problem(site: Site, source: HttpSource, tmp_path: Path) -> None:
    source.refresh(NOON)
    later = HttpSource("http://127.0.0.1:1", tmp_path / "mirror", Limits(1000, **QUICK), Limits(1000, **QUICK))
    assert all("refused" in problem.text for problem in later.refresh(NOON))
    assert temps(later) == [0, 0, 0]


def test_a_server_without_soundings_is_told_as_such(tmp_path: Path) -> None:
    put(tmp_path / "server", "access/data-y2d/readme.txt", b"nothing here")
    put(tmp_path / "server", "doc/igra2-station-list.txt", listed().encode())
    with (
        serving(tmp_path / "server") as site,
        pytest.raises(SourceError, match=r"got none: access/data-y2d: .*no <ID>-data"),
    ):
        HttpSource(site.url, tmp_path / "mirror", Limits(1 << 20, **QUICK)).refresh(NOON)


def test_html_in_place_of_the_station_list_leaves_the_old_list(site: Site, source: HttpSource) -> None:
    source.refresh(NOON)
    site.tricks[LIST] = html
    (problem,) = source.refresh(NOON)
    assert "is no station list" in problem.text
    assert source.fetch(NOON).reports.elevation.tolist() == [95.0] * 3


def test_links_that_lead_elsewhere_are_not_followed(site: Site, source: HttpSource, tmp_path: Path) -> None:
    names = ["../../../etc/passwd", "..%2F..%2FAAM00000009-data.txt.zip", "http://example.org/AAM00000009-data.txt.zip"]
    page = "".join(f'<a href="{name}">{name}</a>' for name in [*names, FILE.rsplit("/")[-1]])
    site.tricks[LISTING] = lambda handler: handler.reply(200, page.encode())
    source.refresh(NOON)
    files = sorted(path.name for path in (tmp_path / "mirror").rglob("*.zip"))
    assert files == [FILE.rsplit("/")[-1]]


def test_a_period_of_record_is_fetched_only_for_active_stations_without_year_to_date(
    site: Site, source: HttpSource
) -> None:
    records = {"AAM00000001": "1960 2026", "BBM00000001": "1960 2026", "CCM00000001": "1960 2010"}
    for station in records:
        old = sounding(Level(press=50000, temp=9), station=station, when="2009 07 01 12")
        put(site.root, f"access/data-por/{station}-data.txt.zip", zipped(old + text(station), f"{station}-data.txt"))
    lines = [listed(station).replace("1960 2026", years) for station, years in records.items()]
    put(site.root, LIST.strip("/"), "\n".join(lines).encode())
    assert source.refresh(NOON) == ()
    assert [site.asked[f"/access/data-por/{station}-data.txt.zip"] for station in records] == [0, 1, 0]
    assert len(source.fetch(NOON)) == 4
    assert len(source.fetch(datetime(2009, 7, 1, 12, tzinfo=UTC))) == 3  # fetch asks for what that year needs


def test_what_a_crash_left_is_removed(site: Site, source: HttpSource, tmp_path: Path) -> None:
    left = put(tmp_path / "mirror", f"{FILE.strip('/').rsplit('/', 1)[0]}/.AAM00000002.abc.partial", b"half")
    source.refresh(NOON)
    assert not left.exists()
    assert partials(tmp_path / "mirror") == []


def test_damaged_notes_only_cost_another_download(site: Site, source: HttpSource, tmp_path: Path) -> None:
    source.refresh(NOON)
    (tmp_path / "mirror" / "mirror.json").write_text('{"x": 1')
    again = HttpSource(site.url, tmp_path / "mirror")
    assert again.refresh(NOON) == ()
    assert temps(again) == [0, 0, 0]


def test_a_mirror_that_cannot_be_written_is_one_clear_line(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mirror").write_text("a file")
    with pytest.raises(SourceError, match=r"mirror .*mirror: cannot write \(.*\): free or repair"):
        HttpSource(site.url, tmp_path / "mirror").refresh(NOON)
