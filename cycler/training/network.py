"""A made-up radiosonde network in a simulated world: soundings as IGRA text, and the truth to score against.

The soundings go through the same ingest as real ones. Their values are the truth at 850, 500 and 250 hPa and at the
ground, moved from the model's ground to the site's, with random errors of the sizes that the ingest assumes, gaps,
and about one gross error in a hundred.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np
import numpy.typing as npt

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.dataset import Dataset, open_dataset
from dacycle.cycler.training.instruments import Readings, read_instruments
from dacycle.cycler.training.nature import open_nature
from dacycle.cycler.training.sites import Sites, place_sites
from dacycle.errors import SourceError
from dacycle.obs.elevation import LAPSE_RATE, pressure_ratio
from dacycle.obs.igra.stations import Station
from dacycle.obs.igra.writer import write_archive
from dacycle.obs.moisture import ZERO_CELSIUS, dew_point
from dacycle.obs.soundings import MISSING, REMOVED, Levels, Reports, Soundings

__all__ = ["SimulatedNetwork", "simulate_network", "write_network", "write_truth"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

LEVELS_HPA = (850, 500, 250)
SILENT_FRACTION = 0.05
LEVEL_GAP = 0.02
KNOWN_RELEASE = 0.6
HOUR_ONLY = 0.03
BY_RELATIVE_HUMIDITY = 0.1
SOURCE = "dacycle"
_CHANNELS = {c.name: c for c in DEFAULT_CHANNELS}


@dataclass(frozen=True)
class SimulatedNetwork:
    """Soundings, their stations, and the gross errors among the values as (report key, channel name)."""

    soundings: Soundings
    stations: list[Station]
    gross: frozenset[tuple[str, str]]


def write_network(truth: Path | Dataset, out: Path, sites: int, seed: int, times: Sequence[datetime]) -> None:
    """Soundings of ``times`` below ``out`` in NCEI's layout: ``access/data-y2d`` and the station list.

    ``truth``: a dataset, or where it is. SourceError when it lacks one of the times or is none.
    """
    network = simulate_network(truth, sites, seed, times)
    write_archive(out, network.soundings, network.stations, min(times).year)


def simulate_network(truth: Path | Dataset, sites: int, seed: int, times: Sequence[datetime]) -> SimulatedNetwork:
    """The soundings that ``sites`` sites make of ``truth`` at ``times``; the same for the same seed, time by time."""
    run = open_dataset(truth) if isinstance(truth, Path) else truth
    places = place_sites(run, sites, seed)
    parts = [_observe(run, places, time, seed) for time in times]
    soundings = _joined([part[0] for part in parts])
    heard = np.array([(soundings.reports.station == station).sum() for station in places.id])
    years = min(times).year, max(times).year
    stations = places.stations(years, heard, np.random.default_rng([seed, 1]))
    return SimulatedNetwork(soundings, stations, frozenset().union(*(part[1] for part in parts)))


def _observe(run: Dataset, sites: Sites, time: datetime, seed: int) -> tuple[Soundings, set[tuple[str, str]]]:
    """The soundings of one time, and which of their values are gross errors."""
    rng = np.random.default_rng([seed, 2, int(time.timestamp()) // 3600])
    frame = _frame(run, time)
    truth = {c.name: sites.sample(run.read(c, slice(frame, frame + 1))[0]) for c in DEFAULT_CHANNELS}
    rise = sites.elevation - sites.orography
    truth["sp"] = truth["sp"] * pressure_ratio(truth["2t"], rise)
    truth["2t"] = truth["2t"] - LAPSE_RATE * rise
    readings = read_instruments(truth, _CHANNELS, rng)
    blocks = [_surface_level(readings, sites), *(_upper_level(readings, p, rng) for p in LEVELS_HPA)]
    n = len(sites.id)
    present = np.ones((n, len(blocks)), np.bool_)
    present[:, 1:] = rng.random((n, len(LEVELS_HPA))) >= LEVEL_GAP
    present[:, 1:] &= np.array(LEVELS_HPA) * 100.0 < truth["sp"][:, None]
    reports = _reports(sites, time, present.sum(1), rng)
    columns = {name: np.stack([getattr(block, name) for block in blocks], 1)[present] for name in blocks[0].columns()}
    soundings = Soundings(reports, Levels(**columns))
    heard = rng.random(n) >= SILENT_FRACTION
    level_of = {None: 0} | {p: k + 1 for k, p in enumerate(LEVELS_HPA)}
    gross = {
        (key, name)
        for name, reading in readings.items()
        for key in reports.key[reading.gross & heard & present[:, level_of[_CHANNELS[name].level_hpa]]].tolist()
    }
    return soundings.select(heard), gross


def _frame(run: Dataset, time: datetime) -> int:
    if time not in run.times:
        span = f"{run.times[0]:%Y-%m-%dT%H} to {run.times[-1]:%Y-%m-%dT%H}"
        raise SourceError(f"{run.name} has no state at {time:%Y-%m-%dT%H}; it has {len(run.times)} from {span}")
    return run.times.index(time)


def _coded(reading: Readings, value: FloatArray) -> IntArray:
    """Rounded values with the archive's sentinels."""
    coded = np.where(reading.missing, MISSING, np.rint(value))
    return np.asarray(np.where(reading.removed & ~reading.missing, REMOVED, coded), np.int32)


def _wind(readings: dict[str, Readings], u_name: str, v_name: str) -> tuple[IntArray, IntArray]:
    """Direction from which it blows, 1 to 360 degrees with 0 for calm, and speed in 0.1 m/s."""
    u, v = readings[u_name].value, readings[v_name].value
    speed = np.rint(10 * np.hypot(u, v))
    direction = np.rint(np.rad2deg(np.arctan2(-u, -v))) % 360
    direction = np.where(speed == 0, 0, np.where(direction == 0, 360, direction))
    return _coded(readings[u_name], direction), _coded(readings[u_name], speed)


def _surface_level(readings: dict[str, Readings], sites: Sites) -> Levels:
    n = len(sites.id)
    wdir, wspd = _wind(readings, "10u", "10v")
    return _level(
        n,
        2,
        1,
        press=_coded(readings["sp"], readings["sp"].value / 10) * np.where(_sound(readings["sp"]), 10, 1),
        gph=np.rint(sites.elevation).astype(np.int32),
        temp=_coded(readings["2t"], 10 * (readings["2t"].value - ZERO_CELSIUS)),
        wdir=wdir,
        wspd=wspd,
    )


def _sound(reading: Readings) -> Mask:
    return ~(reading.missing | reading.removed)


def _upper_level(readings: dict[str, Readings], p: int, rng: np.random.Generator) -> Levels:
    n = len(readings[f"t{p}"].value)
    wdir, wspd = _wind(readings, f"u{p}", f"v{p}")
    celsius = readings[f"t{p}"].value - ZERO_CELSIUS
    humidity: dict[str, IntArray] = {}
    if f"q{p}" in readings:
        reading = readings[f"q{p}"]
        dew = dew_point(reading.value, np.full(n, 100.0 * p))
        # The written temperature, so that rounding it does not reach the humidity.
        depression = _coded(reading, 10 * np.maximum(np.round(celsius, 1) - dew, 0))
        ratio = np.exp(17.67 * (dew / (dew + 243.5) - celsius / (celsius + 243.5)))
        relative = _coded(reading, 1000 * np.minimum(ratio, 1))
        by_relative = rng.random(n) < BY_RELATIVE_HUMIDITY
        humidity = {
            "dpdp": np.where(by_relative, MISSING, depression).astype(np.int32),
            "rh": np.where(by_relative, relative, MISSING).astype(np.int32),
        }
    return _level(
        n,
        1,
        0,
        press=np.full(n, 100 * p, np.int32),
        gph=_coded(readings[f"z{p}"], readings[f"z{p}"].value),
        temp=_coded(readings[f"t{p}"], 10 * celsius),
        wdir=wdir,
        wspd=wspd,
        **humidity,
    )


def _level(n: int, major: int, minor: int, /, **columns: IntArray) -> Levels:
    """n levels of one type, with missing values for the columns that are not given."""
    missing = np.full(n, MISSING, np.int32)
    numbers = {name: columns.get(name, missing) for name in ("press", "gph", "temp", "rh", "dpdp", "wdir", "wspd")}
    flags = {flag: np.full(n, b"B", "S1") for flag in ("pflag", "zflag", "tflag")}
    types = {"major": np.full(n, major, np.int8), "minor": np.full(n, minor, np.int8)}
    return Levels(**types, **numbers, **flags, etime=missing)  # type: ignore[arg-type]


def _reports(sites: Sites, time: datetime, levels: npt.NDArray[np.int64], rng: np.random.Generator) -> Reports:
    """Headers of one sounding per site; many balloons leave three quarters of an hour or more before the hour."""
    n = len(sites.id)
    nominal = np.full(n, np.datetime64(time.replace(tzinfo=None), "h"))
    release = nominal.astype("datetime64[m]") - rng.integers(45, 65, n).astype("timedelta64[m]")
    since_midnight = (release - release.astype("datetime64[D]")).astype(np.int64)
    reltime = since_midnight // 60 * 100 + since_midnight % 60
    told = rng.random(n)
    reltime = np.where(told < HOUR_ONLY, since_midnight // 60 * 100 + 99, np.where(told < KNOWN_RELEASE, reltime, 9999))
    count = levels.astype(np.int64)
    zeros = np.zeros(n, np.int64)
    return Reports(
        station=sites.id,
        nominal=nominal,
        release=np.where(reltime == 9999, np.datetime64("NaT", "m"), release),
        reltime=reltime.astype(np.int32),
        declared=levels.astype(np.int32),
        p_src=np.full(n, SOURCE, "U8"),
        np_src=np.full(n, "", "U8"),
        lat=sites.lat,
        lon=sites.lon,
        elevation=sites.elevation,
        first=np.cumsum(count) - count,
        count=count,
        begin=zeros,
        end=zeros,
        digest=np.zeros(n, "U16"),
    )


def _joined(parts: Sequence[Soundings]) -> Soundings:
    """One after the other."""
    offsets = np.cumsum([0, *(len(part.levels) for part in parts)])[: len(parts)]
    tables = [part.reports.columns() for part in parts]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    columns["first"] = np.concatenate([part.reports.first + k for part, k in zip(parts, offsets, strict=True)])
    levels = [part.levels.columns() for part in parts]
    return Soundings(
        Reports(**columns), Levels(**{name: np.concatenate([table[name] for table in levels]) for name in levels[0]})
    )


def write_truth(truth: Path, out: Path, times: Sequence[datetime]) -> None:
    """The 17 channels of ``truth`` at ``times`` on their own grid, in the packing they were simulated in.

    SourceError when a time is not there.
    """
    run = open_nature(truth)
    frames = [_frame(run, time) for time in times]
    with netCDF4.Dataset(truth) as source, netCDF4.Dataset(out, "w") as file:
        file.setncatts(
            {
                "Conventions": "CF-1.11",
                "title": "Truth of the simulated world",
                "source": source.source,
                "history": f"Cut from: {source.title}",
            }
        )
        for name in ("time", "lat", "lon"):
            values = source[name][frames] if name == "time" else source[name][:]
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
            file[name].setncatts({key: source[name].getncattr(key) for key in source[name].ncattrs()})
        file["time"].standard_name = "time"
        for channel in DEFAULT_CHANNELS:
            packed = source[channel.netcdf_name]
            packed.set_auto_maskandscale(False)
            chunks = (1, *run.grid.shape)
            variable = file.createVariable(
                channel.netcdf_name,
                "i2",
                ("time", "lat", "lon"),
                zlib=True,
                complevel=7,
                shuffle=True,
                chunksizes=chunks,
            )
            variable.set_auto_maskandscale(False)
            variable.setncatts({key: packed.getncattr(key) for key in ("add_offset", "scale_factor")})
            names = {"units": channel.units, "long_name": channel.long_name, "standard_name": channel.standard_name}
            variable.setncatts(names)
            variable[:] = packed[frames]
