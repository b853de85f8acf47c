"""Whatever bytes come: no exception, no lost neighbour, no value that was not written."""

import string

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.obs.conversion import observations
from dacycle.obs.igra.format import index, parse
from dacycle.obs.igra.listing import parse_listing
from dacycle.obs.igra.stations import parse_stations
from dacycle.obs.igra.writer import sounding_text
from dacycle.obs.igra.zips import UnreadableZipError, data_file, unzip
from dacycle.obs.quality import counts, screen
from tests.obs.batches import NOON
from tests.obs.igra_text import Level, listed, sounding, zipped

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
LEVEL = Level(press=85000, gph=1500, temp=-50, dpdp=30, wdir=180, wspd=100)
GOOD = "".join(sounding(LEVEL, LEVEL, station=f"AAM{k:08d}") for k in range(5)).encode()
numbers = st.integers(-9999, 99999)
pressures = st.sampled_from([85000, 50000, 99000])
modelled = st.builds(Level, st.sampled_from(["10", "21"]), numbers, pressures, *[numbers] * 6)
places = st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=0, max_size=4))


@QUICK
@given(st.binary(max_size=400) | st.text("#-0123456789 AB\n\r", max_size=400).map(str.encode))
def test_any_bytes_parse(text: bytes) -> None:
    found = parse(text, "f")
    assert found.reports.count.sum() == len(found.levels)
    index(text)


@QUICK
@given(places)
def test_damage_at_one_place_costs_at_most_two_soundings(damage: tuple[int, bytes]) -> None:
    place, replacement = damage
    found = parse(GOOD[:place] + replacement + GOOD[place + len(replacement) :], "f")
    kept = set(found.reports.station.tolist()) & {f"AAM{k:08d}" for k in range(5)}
    assert len(kept) >= 3


@QUICK
@given(st.lists(st.builds(Level, st.sampled_from(["10", "20", "21", "31"]), *[numbers] * 8), max_size=6))
def test_what_is_written_is_what_was_read(levels: list[Level]) -> None:
    text = sounding(*levels).encode()
    found = parse(text, "f")
    assert found.problems == ()
    assert sounding_text(found) == text


@QUICK
@given(st.lists(modelled, max_size=6))
def test_any_values_end_in_one_code_each(levels: list[Level]) -> None:
    batch = observations(parse(sounding(*levels).encode(), "f"), NOON, DEFAULT_CHANNELS)
    checked = screen(batch, np.zeros(len(batch)))
    assert sum(counts(checked).values()) == len(batch)
    assert np.isfinite(checked.assimilated.value).all()
    assert (checked.sigma > 0).all()


@QUICK
@given(st.text(max_size=200), st.text(string.printable, max_size=100))
def test_any_station_list_and_listing_parse(text: str, tail: str) -> None:
    stations, _ = parse_stations(f"{listed()}\n{text}\n".encode(), "f")
    assert "USM00072403" in stations
    page = f'<a href="USM00072403-data.txt.zip">x</a> 2024-01-05 10:22 123 {text}<a href="{tail}">'
    assert "USM00072403-data.txt.zip" in [item.file.name for item in parse_listing(page)]


@QUICK
@given(st.binary(max_size=300), st.integers(0, 200))
def test_any_zip_is_the_text_or_unreadable(rubbish: bytes, place: int) -> None:
    file = data_file("USM00072403-data.txt.zip")
    assert file is not None
    whole = zipped(GOOD.decode())
    try:
        text = unzip(whole[:place] + rubbish + whole[place + len(rubbish) :], file)
    except UnreadableZipError:
        text = GOOD
    assert text == GOOD
