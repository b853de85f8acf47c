"""What must hold for any bytes: no exception, no hang, and no value that was not written.

Each oracle takes bytes and raises AssertionError where the package is wrong. The fuzzer drives them, and so do the
ordinary tests with the corpus.
"""

import html
import zipfile
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from unittest.mock import patch
from urllib.parse import unquote

import numpy as np

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.obs.conversion import observations
from dacycle.obs.igra.assembly import assemble
from dacycle.obs.igra.format import index, parse
from dacycle.obs.igra.listing import parse_listing
from dacycle.obs.igra.spans import read_span
from dacycle.obs.igra.stations import parse_stations
from dacycle.obs.igra.writer import sounding_text
from dacycle.obs.igra.zips import UnreadableZipError, data_file, unzip
from dacycle.obs.quality import counts, screen
from dacycle.obs.soundings import Soundings
from tests.obs.batches import NOON
from tests.obs.igra_text import zipped
from tests.obs.slow_parser import NUMBERS, SlowSounding, slow_parse

__all__ = ["ORACLES"]

NAME = "USM00072403-data-beg2016.txt.zip"
FILE = data_file(NAME)
assert FILE is not None


def as_slow(found: Soundings) -> list[SlowSounding]:
    """The package's soundings in the judge's words."""
    reports, levels = found.reports, found.levels
    flags = [column.tolist() for column in (levels.pflag, levels.zflag, levels.tflag)]
    rows = list(zip(*(getattr(levels, name).tolist() for name in NUMBERS), *flags, strict=True))

    def time(value: object) -> datetime | None:
        return value if isinstance(value, datetime) else None

    return [
        SlowSounding(
            reports.station[k].item(),
            time(reports.nominal[k].astype("datetime64[s]").item()),
            time(reports.release[k].astype("datetime64[s]").item()),
            reports.reltime[k].item(),
            reports.declared[k].item(),
            None if np.isnan(reports.lat[k]) else reports.lat[k].item(),
            None if np.isnan(reports.lon[k]) else reports.lon[k].item(),
            tuple(rows[first : first + count]),
        )
        for k, (first, count) in enumerate(zip(reports.first.tolist(), reports.count.tolist(), strict=True))
    ]


def parser(text: bytes) -> None:
    """The fast parser agrees with the slow one, its text reads back the same, and every value ends in one code."""
    found = parse(text, "f")
    assert found.reports.count.sum() == len(found.levels)
    assert as_slow(found) == slow_parse(text)
    again = parse(sounding_text(found), "f")
    assert [s.levels for s in as_slow(again)] == [s.levels for s in as_slow(found)]
    batch = observations(found, NOON, DEFAULT_CHANNELS)
    checked = screen(batch, np.zeros(len(batch)))
    assert sum(counts(checked).values()) == len(batch)
    assert np.isfinite(checked.assimilated.value).all()
    assert (checked.sigma > 0).all()


def spans(text: bytes) -> None:
    """What is cut from a file around a time is what the whole file has there."""
    assert FILE is not None
    begin, times = index(text)
    assert len(begin) == len(times)
    window = np.datetime64("2016-01-09T00", "m"), np.datetime64("2016-01-12T00", "m")
    content = zipped(text.decode("latin-1"))
    whole = parse(unzip(content, FILE), "f").reports
    inside = (whole.reference >= window[0]) & (whole.reference < window[1])
    for small in (256 << 10, 0):  # kept whole, and cut
        try:
            with patch("dacycle.obs.igra.spans.SMALL", small):
                span = read_span(content, FILE, NAME, window)
        except UnreadableZipError:
            return
        assert span.covers(*window)
        assert set(assemble([span], window).reports.key.tolist()) == set(whole.key[inside].tolist())


def listing(page: bytes) -> None:
    """Nothing is listed that the page does not name, and no name leads out of the folder."""
    text = page.decode("utf-8", "replace")
    plain = unquote(html.unescape(text))
    for item in parse_listing(text):
        assert data_file(item.file.name) == item.file
        assert "/" not in item.file.name
        assert item.file.name in plain
        assert len(item.version) < 60


def station_list(text: bytes) -> None:
    """Whatever is no station is told; what is one is on the globe."""
    stations, _ = parse_stations(text, "f")
    for identifier, station in stations.items():
        assert len(identifier) == 11
        assert station.lat is None or abs(station.lat) <= 90


def zips(content: bytes) -> None:
    """What comes out is what the standard library's reader and its checksum say, or nothing."""
    assert FILE is not None
    try:
        text = unzip(content, FILE)
    except UnreadableZipError:
        return
    with zipfile.ZipFile(BytesIO(content)) as archive:
        (member,) = archive.infolist()
        assert archive.read(member) == text
        assert member.filename in {"USM00072403-data.txt", NAME.removesuffix(".zip")}


ORACLES: dict[str, Callable[[bytes], None]] = {
    "parser": parser,
    "spans": spans,
    "listing": listing,
    "stations": station_list,
    "zips": zips,
}
