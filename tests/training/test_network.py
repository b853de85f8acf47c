"""The simulated network: through the real ingest it must give back the truth, with errors of the sizes assumed."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest

import dacycle.cycler.training.sites as sites_module
from dacycle.channels import DEFAULT_CHANNELS, channel
from dacycle.cycler.main import main
from dacycle.cycler.training.nature import NatureFile, open_nature
from dacycle.cycler.training.network import simulate_network, write_network, write_truth
from dacycle.cycler.training.sites import PREFIX, place_sites
from dacycle.emulators.grid import bilinear, gaussian_grid
from dacycle.errors import DacycleError, SourceError
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.conversion import observations
from dacycle.obs.igra.archive import STATION_LIST, FolderSource
from dacycle.obs.igra.stations import parse_stations
from dacycle.obs.moisture import specific_humidity, vapour_pressure
from dacycle.obs.quality import background_check, below_ground, screen

START = datetime(2001, 8, 24, 18, tzinfo=UTC)
TIMES = [datetime(2001, 8, 25, tzinfo=UTC) + timedelta(hours=12 * k) for k in range(2)]
SITES = 300
GRID = gaussian_grid(32, 64)
PACKING = {"t": (250.0, 0.005), "u": (0.0, 0.005), "v": (0.0, 0.005), "q": (0.016, 5e-7), "sp": (80000.0, 2.0)}
HEIGHT = {850: 1450.0, 500: 5600.0, 250: 10500.0}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four states of smooth, hydrostatically plausible weather, packed as nature runs are."""
    path = tmp_path_factory.mktemp("truth") / "truth.nc"
    lat, lon = np.deg2rad(GRID.lat)[:, None], np.deg2rad(GRID.lon)[None]
    land = ((np.sin(2 * lon) > 0) & (np.cos(3 * lat) > 0)).astype(float)
    orography = land * 600 * (1 + np.sin(3 * lon) * np.cos(2 * lat))
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"title": "weather made up for a test", "source": "sines", "seed": 0})
        for name, values in (("time", None), ("lat", GRID.lat), ("lon", GRID.lon)):
            file.createDimension(name, None if values is None else len(values))
            file.createVariable(name, "f8", (name,))
        file["lat"][:], file["lon"][:] = GRID.lat, GRID.lon
        file["lat"].units, file["lon"].units = "degrees_north", "degrees_east"
        file["time"].units = f"hours since {START:%Y-%m-%d %H:%M:%S}"
        for name, values in (("orography", orography), ("land", land)):
            file.createVariable(name, "f4", ("lat", "lon"))[:] = values
        for k in range(4):
            file["time"][k] = 6.0 * k
            wave = np.cos(lat) * np.sin(4 * lon + 0.5 * k)
            fields = weather(lat, wave, orography)
            for c in DEFAULT_CHANNELS:
                if c.netcdf_name not in file.variables:
                    offset, scale = (HEIGHT[c.level_hpa or 0], 0.1) if c.variable == "z" else PACKING[c.variable]
                    variable = file.createVariable(c.netcdf_name, "i2", ("time", "lat", "lon"))
                    variable.setncatts({"add_offset": offset, "scale_factor": scale, "units": c.units})
                file[c.netcdf_name][k] = np.broadcast_to(fields[c.name], GRID.shape)
    return path


def weather(lat: np.ndarray, wave: np.ndarray, orography: np.ndarray) -> dict[str, np.ndarray]:
    """The channels' fields, in hydrostatic balance."""
    warm = 30 * np.cos(lat) ** 2 + 3 * wave
    t = {1000: 260 - 0.0065 * orography + warm, 850: 253 + warm, 500: 235 + warm, 250: 212 + warm}
    q = 0.5 * specific_humidity(vapour_pressure(t[850] - 273.15), np.float64(85000))
    virtual = {p: t[p] * (1 + 0.608 * q * (p >= 850)) for p in t}
    sp = 100500 * np.exp(-orography / 8300) + 400 * wave
    r_over_g = 287.05 / 9.80665
    z850 = orography + r_over_g * (virtual[1000] + virtual[850]) / 2 * np.log(sp / 85000)
    z500 = z850 + r_over_g * (virtual[850] + virtual[500]) / 2 * np.log(850 / 500)
    z250 = z500 + r_over_g * (virtual[500] + virtual[250]) / 2 * np.log(2)
    fields = {"2t": t[1000], "sp": sp, "q850": q, "z850": z850, "z500": z500, "z250": z250}
    fields |= {f"t{p}": t[p] for p in HEIGHT}
    fields |= {name: 10 * np.cos(lat) * (1 + wave) for name in ("10u", "u850", "u500", "u250")}
    return fields | dict.fromkeys(("10v", "v850", "v500", "v250"), 12 * wave)


@pytest.fixture(scope="module")
def run(truth: Path) -> NatureFile:
    return open_nature(truth)


@pytest.fixture(scope="module")
def archive(truth: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    write_network(truth, folder, SITES, 7, TIMES)
    return folder


def equivalents(run: NatureFile, batch: ObservationBatch, time: datetime) -> np.ndarray:
    """(n,): the truth at each value."""
    corners, weights = bilinear(run.grid, batch.lat, batch.lon)
    frame = run.times.index(time)
    found = np.empty(len(batch))
    for c in DEFAULT_CHANNELS:
        rows = batch.channel == c.name
        field = run.read(c, slice(frame, frame + 1))[0].reshape(-1)
        found[rows] = (field[corners[rows]] * weights[rows]).sum(-1)
    return found


def ingested(run: NatureFile, archive: Path, time: datetime) -> ObservationBatch:
    """What the real ingest makes of the archive."""
    found = FolderSource(archive).fetch(time)
    assert found.problems == ()
    batch = observations(found, time, DEFAULT_CHANNELS)
    corners, weights = bilinear(run.grid, batch.lat, batch.lon)
    sp = run.read(channel("sp"), slice(run.times.index(time), run.times.index(time) + 1))[0].reshape(-1)
    batch = screen(batch, (run.orography.reshape(-1)[corners] * weights).sum(-1))
    return below_ground(batch, (sp[corners] * weights).sum(-1))


def gross_rows(truth: Path, batch: ObservationBatch) -> np.ndarray:
    gross = simulate_network(truth, SITES, 7, TIMES).gross
    pairs = zip(batch.report.tolist(), batch.channel.tolist(), strict=True)
    return np.array([pair in gross for pair in pairs])


def test_errors_have_the_sizes_that_the_ingest_assumes(truth: Path, run: NatureFile, archive: Path) -> None:
    batches = [ingested(run, archive, time) for time in TIMES]
    departure, names = [], []
    for batch, time in zip(batches, TIMES, strict=True):
        good = (batch.quality == Quality.ASSIMILATED) & ~gross_rows(truth, batch)
        departure.append(((batch.value - equivalents(run, batch, time)) / batch.sigma)[good])
        names.append(batch.channel[good])
    z, name = np.concatenate(departure), np.concatenate(names)
    for c in DEFAULT_CHANNELS:
        of_channel = z[name == c.name]
        n = len(of_channel)
        assert n > SITES
        # The error of a humidity is a fraction of the value read, which is the smaller where it was read too low.
        assert abs(of_channel.mean()) < (0.3 if c.variable == "q" else 4 / np.sqrt(n)), c.name
        assert of_channel.std() == pytest.approx(1.0, abs=0.25 if c.variable == "q" else 0.15), c.name


def test_gross_errors_are_found_and_good_values_kept(truth: Path, run: NatureFile, archive: Path) -> None:
    found = rejected = good = lost = 0
    for time in TIMES:
        batch = ingested(run, archive, time)
        gross = gross_rows(truth, batch)
        checked = background_check(batch, equivalents(run, batch, time), 0.7 * batch.sigma, k=4)
        bad = checked.quality != Quality.ASSIMILATED
        found, rejected = found + gross.sum(), rejected + (gross & bad).sum()
        wrongly = np.isin(checked.quality, [Quality.BACKGROUND, Quality.VERTICAL, Quality.GROSS]) & ~gross
        good, lost = good + (~gross).sum(), lost + wrongly.sum()
    assert 0.005 * good < found < 0.02 * good
    assert rejected >= 0.95 * found
    assert lost < 0.01 * good


def test_the_archive_is_small_and_its_stations_are_nobodys(archive: Path) -> None:
    stations, problems = parse_stations((archive / STATION_LIST).read_bytes(), STATION_LIST)
    assert problems == ()
    assert len(stations) == SITES
    assert all(station.startswith(PREFIX) and len(station) == 11 for station in stations)
    assert 0 < sum(station.elevation is None for station in stations.values()) < 0.1 * SITES
    assert sum(path.stat().st_size for path in archive.rglob("*.*")) < 2000 * SITES


def test_no_real_station_has_the_prefix(real_data: Path) -> None:
    stations, _ = parse_stations((real_data / "igra" / STATION_LIST).read_bytes(), "")
    assert not [station for station in stations if station.startswith(PREFIX[:2])]
    assert [station for station in stations if station.startswith("XX")]  # why it is not XX


def test_soundings_have_gaps_and_leave_before_the_hour(archive: Path) -> None:
    found = FolderSource(archive).fetch(TIMES[0])
    assert 0.88 * SITES < len(found) < 0.99 * SITES
    release = found.reports.release
    known = ~np.isnat(release)
    assert 0.4 < known.mean() < 0.8
    assert (release[known] < np.datetime64("2001-08-25T00:00")).all()
    assert {"2001-08-24"} == set(release[known].astype("datetime64[D]").astype(str).tolist())
    assert (found.reports.reltime % 100 == 99).sum() > (found.reports.reltime == 9999).sum()  # some know the hour alone
    for column in (found.levels.temp, found.levels.wdir, found.levels.gph):
        assert 0 < (column == -9999).sum() < 0.2 * len(column)
    assert (found.levels.temp == -8888).any()
    assert (found.levels.rh[found.levels.press == 85000] != -9999).mean() > 0.03


def test_sites_are_mostly_on_land_apart_and_unlike_the_models_ground(run: NatureFile) -> None:
    sites = place_sites(run, SITES, 7)
    corners, weights = bilinear(run.grid, sites.lat, sites.lon)
    land = (run.land.reshape(-1)[corners] * weights).sum(-1)
    assert (land > 0.5).mean() > 2 * (GRID.mean(run.land > 0.5))
    high = sites.orography > 500
    assert (sites.elevation - sites.orography)[high].std() == pytest.approx(150, rel=0.25)
    assert (sites.elevation > 0).all()
    phi, lam = np.deg2rad(sites.lat), np.deg2rad(sites.lon)
    xyz = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    cosine = xyz @ xyz.T - 2 * np.eye(SITES)
    assert 6371 * np.arccos(cosine.max()) > 219


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(truth: Path, archive: Path, tmp_path: Path) -> None:
    write_network(truth, tmp_path / "same", SITES, 7, TIMES)
    write_network(truth, tmp_path / "other", SITES, 8, TIMES)
    files = [path.relative_to(archive) for path in archive.rglob("*.*")]
    assert len(files) > SITES * 0.9
    assert all((archive / file).read_bytes() == (tmp_path / "same" / file).read_bytes() for file in files)
    assert (archive / STATION_LIST).read_bytes() != (tmp_path / "other" / STATION_LIST).read_bytes()


def test_a_time_is_the_same_whatever_other_times_are_written(truth: Path) -> None:
    both, one = (simulate_network(truth, 50, 3, times).soundings for times in (TIMES, TIMES[1:]))
    later = both.select(both.reports.nominal == np.datetime64("2001-08-25T12"))
    assert later.reports.key.tolist() == one.reports.key.tolist()
    assert later.levels.temp.tolist() == one.levels.temp.tolist()


def test_the_truth_is_copied_exactly_and_described(truth: Path, run: NatureFile, tmp_path: Path) -> None:
    write_truth(truth, tmp_path / "out.nc", TIMES)
    with netCDF4.Dataset(truth) as source, netCDF4.Dataset(tmp_path / "out.nc") as copy:
        frames = [run.times.index(time) for time in TIMES]
        assert copy["time"][:].tolist() == [6.0 * frame for frame in frames]
        for c in DEFAULT_CHANNELS:
            variable = copy[c.netcdf_name]
            np.testing.assert_array_equal(variable[:], source[c.netcdf_name][frames])
            assert (variable.dtype, variable.units, variable.standard_name) == (np.int16, c.units, c.standard_name)
            assert variable.filters()["zlib"]
        assert (copy["lat"].units, copy.Conventions) == ("degrees_north", "CF-1.11")


def test_a_time_that_the_truth_lacks_is_named(truth: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no state at 1999-01-01T00; it has 4 from 2001-08-24T18 to 2001-08-25T12"):
        write_truth(truth, tmp_path / "x.nc", [datetime(1999, 1, 1, tzinfo=UTC)])


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("2001-08-25T00", "2001-09-01T00", r"no state at 2001-08-26T00; it has 4 from"),
        ("2001-08-25T12", "2001-08-25T00", r"expected --end at or after --start, and hours; got 2001-08-25T12 to"),
    ],
)
def test_times_that_cannot_be_are_told_in_one_line_and_nothing_is_written(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], start: str, end: str, told: str
) -> None:
    out = tmp_path / "world"
    command = ["simulate", "soundings", "--truth", str(truth), "--out", str(out), "--sites", "40"]
    assert main([*command, "--start", start, "--end", end]) == 1
    assert re.fullmatch(rf"dacycle: .*{told}.*\n", capsys.readouterr().err)
    assert not out.exists()


def test_what_is_no_nature_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.nc").write_bytes(b"rubbish")
    with pytest.raises(SourceError, match="expected a nature run"):
        write_network(tmp_path / "x.nc", tmp_path / "out", 10, 0, TIMES)


def test_a_crowded_globe_is_refused(run: NatureFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites_module, "SPACING_KM", 6000.0)
    with pytest.raises(DacycleError, match=r"room for \d+ sites 6000 km apart; 50 were wanted"):
        place_sites(run, 50, 0)
