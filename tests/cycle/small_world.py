"""A small archive of soundings around the tiny bundle's climatology, and configurations for it."""

import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from dacycle.cycler.config import Config
from tests.obs import igra_text
from tests.obs.igra_text import Level, listed, sounding

__all__ = ["START", "config", "hours", "soundings", "toml"]

START = datetime(2021, 3, 1, tzinfo=UTC)
STATIONS = {
    f"XXX000{k:05d}": (lat, lon)
    for k, (lat, lon) in enumerate((lat, lon) for lat in (-60, -30, 5, 35, 65) for lon in range(-160, 180, 80))
}


def hours(number: int) -> datetime:
    """So many hours after the start."""
    return START + timedelta(hours=number)


def soundings(
    root: Path,
    times: list[datetime],
    stations: int = len(STATIONS),
    late: dict[datetime, int] | None = None,
    revised: dict[datetime, int] | None = None,
) -> Path:
    """An archive in ``root`` where the first ``stations`` report at all of the times; the same every time.

    ``late``: of so many of the last stations the sounding of a time is not there yet; ``revised``: the soundings of so
    many of the first stations are others than they were.
    """
    texts, lines = {}, []
    late, revised = late or {}, revised or {}
    for number, (station, (lat, lon)) in enumerate(list(STATIONS.items())[:stations]):
        lines.append(listed(station, lat, lon, 10.0))
        parts = []
        for time in times:
            if number >= stations - late.get(time, 0):
                continue
            seed = [
                zlib.crc32(station.encode()),
                int(time.timestamp()),
                *([1] if number < revised.get(time, 0) else []),
            ]
            rng = np.random.default_rng(seed)
            t, z, speed = rng.normal(0, 15, 2), rng.normal(0, 15, 2), rng.uniform(10, 90, 2)
            parts.append(
                sounding(
                    _level(85000, 1450 + z[0], 2700 + t[0], speed[0]),
                    _level(50000, 5600 + z[1], 2650 + t[1], speed[1]),
                    station=station,
                    when=f"{time:%Y %m %d %H}",
                    reltime=f"{(time - timedelta(hours=1)):%H}05",
                    lat=round(lat * 1e4),
                    lon=round(lon * 1e4),
                )
            )
        texts[station] = "".join(parts)
    return igra_text.archive(root, texts, year=times[0].year if times else START.year, stations=lines)


def _level(pressure: int, height: float, kelvin_tenths: float, speed_tenths: float) -> Level:
    celsius_tenths = round(kelvin_tenths - 2731.5)
    return Level(press=pressure, gph=round(height), temp=celsius_tenths, wdir=270, wspd=round(speed_tenths))


def config(root: Path, archive: Path, bundle_path: Path, /, **changes: dict[str, Any]) -> Config:
    """A quick configuration with its state below ``root``; ``changes``: section -> keys."""
    sections: dict[str, dict[str, Any]] = {
        "paths": {"state": root / "state"},
        "source": {"location": str(archive)},
        "bundle": {"path": str(bundle_path)},
        "cycle": {"first": START},
        "ensemble": {"members": 4, "chunk": 2, "threads": 1},
        "assimilation": {"steps": 2},
        "products": {"formats": ["netcdf"], "quicklooks": False},
        "service": {"port": 0, "heartbeat_seconds": 0.2},
    }
    for section, keys in changes.items():
        sections.setdefault(section, {}).update(keys)
    return Config.model_validate(sections)


def toml(path: Path, chosen: Config) -> Path:
    """The configuration as a file."""
    lines = []
    for section, keys in chosen.model_dump(mode="json", exclude_none=True).items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_value(value)}" for key, value in keys.items() if key != "model_observations"]
    path.write_text("\n".join(lines) + "\n")
    return path


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return value if value.startswith("20") and value.endswith("Z") else f'"{value}"'
    return str(value)
