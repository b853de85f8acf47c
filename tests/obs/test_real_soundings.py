"""The real archives: nothing lost, every column, known values, and quickly enough."""

import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.obs.batch import ObservationBatch
from dacycle.obs.conversion import observations
from dacycle.obs.igra.archive import STATION_LIST, FolderSource
from dacycle.obs.igra.format import parse
from dacycle.obs.igra.stations import parse_stations
from dacycle.obs.igra.writer import sounding_text
from dacycle.obs.quality import counts, screen
from dacycle.obs.soundings import Soundings, decode

STERLING = "igra/access/data-y2d/USM00072403-data-beg2016.txt.zip"
COTONOU = "igra/access/data-por/BNM00065344-data.txt.zip"
KATRINA = datetime(2005, 8, 26, tzinfo=UTC)


def text_of(path: Path) -> bytes:
    with zipfile.ZipFile(path) as file:
        return file.read(file.infolist()[0])


@pytest.mark.parametrize(("name", "soundings", "levels"), [(STERLING, 662, 131_306), (COTONOU, 45_458, 337_900)])
def test_no_sounding_and_no_level_is_lost(real_data: Path, name: str, soundings: int, levels: int) -> None:
    found = parse(text_of(real_data / name), name)
    assert (len(found), len(found.levels), found.problems) == (soundings, levels, ())
    np.testing.assert_array_equal(found.reports.count, found.reports.declared)


def test_every_character_of_the_real_text_is_understood(real_data: Path) -> None:
    text = text_of(real_data / STERLING)
    assert sounding_text(parse(text, "")) == text


def test_a_sounding_of_the_day_before(real_data: Path) -> None:
    text = (real_data / "igra/samples/USM00070026-201006.txt").read_bytes()
    reports = parse(text, "").reports
    assert reports.nominal[0] == np.datetime64("2010-06-01T00")
    assert reports.release[0] == np.datetime64("2010-05-31T23:03")
    assert (reports.lat[0], reports.lon[0]) == (71.2889, -156.7833)


def test_levels_of_a_real_sounding(real_data: Path) -> None:
    found = parse((real_data / "igra/samples/USM00072558-2025030812.txt").read_bytes(), "")
    assert len(found) == 1
    assert found.reports.release[0] == np.datetime64("2025-03-08T11:10")
    levels = found.levels
    assert (levels.major[0], levels.minor[0], levels.etime[0], levels.press[0]) == (2, 1, 0, 97904)
    assert levels.gph[0] == -8888  # removed by quality assurance, while the rest of the level stands
    (row,) = np.flatnonzero((levels.press == 92500) & (levels.major == 1))
    assert (levels.etime[row], levels.gph[row], levels.zflag[row]) == (122, 803, b"B")
    assert decode(levels.temp, 0.1)[row] == pytest.approx(-0.4)
    assert (levels.rh[row], levels.dpdp[row], levels.wdir[row], levels.wspd[row]) == (197, 203, 242, 38)


def test_the_real_station_list(real_data: Path) -> None:
    stations, problems = parse_stations((real_data / "igra" / STATION_LIST).read_bytes(), STATION_LIST)
    assert problems == ()
    assert len(stations) == 2931  # 2,932 lines, one of them without an ID
    sterling = stations["USM00072403"]
    assert (sterling.lat, sterling.lon, sterling.elevation) == (38.95, -77.45, 95.0)
    assert sum(station.mobile for station in stations.values()) == 102
    assert stations["AFM00040911"].elevation is None
    assert stations["RIM00013275"].name == "BEOGRAD/KOŠUTNJAK"  # more bytes than characters
    assert stations["RIM00013275"].last_year == 2026


def test_519_soundings_of_one_time(real_data: Path) -> None:
    source = FolderSource(real_data / "igra-2005082600")
    assert source.newest() == KATRINA
    found = source.fetch(KATRINA)
    assert len(found) == len(np.unique(found.reports.station)) == 519
    assert found.problems == ()
    assert len(found.inputs) == 520  # and the station list


def screened(soundings: Soundings, time: datetime) -> ObservationBatch:
    batch = observations(soundings, time, DEFAULT_CHANNELS)
    return screen(batch, np.nan_to_num(batch.elevation))


def test_the_great_majority_of_real_values_survives(real_data: Path) -> None:
    batch = screened(FolderSource(real_data / "igra-2005082600").fetch(KATRINA), KATRINA)
    told = counts(batch)
    assert sum(told.values()) == len(batch) > 8000
    assert told["assimilated"] > 0.99 * len(batch)
    assert len(np.unique(batch.assimilated.station)) >= 500
    # A wind of 500 m/s and winds whose direction is no direction are in the real data.
    gross = batch.select(batch.quality == 20)
    assert abs(gross.value).max() > 400


def test_the_whole_archive_from_disk_to_checked_batch_takes_at_most_three_seconds(real_data: Path) -> None:
    seconds = []
    for _ in range(3):
        start = time.process_time()
        screened(FolderSource(real_data / "igra-2005082600").fetch(KATRINA), KATRINA)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 3.0


def test_the_parser_reads_at_least_80_megabytes_a_second(real_data: Path) -> None:
    text = text_of(real_data / COTONOU)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        parse(text, "")
        seconds.append(time.process_time() - start)
    assert len(text) / min(seconds) / 1e6 > 80


def test_successive_times_of_real_files_are_quick_and_complete(real_data: Path) -> None:
    source = FolderSource(real_data / "igra")
    first = datetime(2016, 1, 1, tzinfo=UTC)
    source.fetch(first)
    start = time.process_time()
    keys = [key for k in range(20) for key in source.fetch(first + timedelta(hours=12 * k)).reports.key.tolist()]
    assert time.process_time() - start < 2.0
    assert len(keys) == len(set(keys))
    assert sum(key.startswith("USM00072403") for key in keys) == 20
    assert keys[0] == "USM00072403 2016-01-01T00 2302"
