"""Where a balloon was, and when, at each of its levels: the station and the release are only where it began.

An option, off by default: a balloon drifts some 50 km on its way to 250 hPa, a third of a grid box of the default
bundle, and takes an hour for it, while the analysis has one time; no gain has been shown yet.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dacycle.obs.soundings import MISSING, MISSING_DERIVED, REMOVED, Soundings, decode

__all__ = ["Track", "track"]

FloatArray = npt.NDArray[np.float64]

ASCENT = 5.0  # m/s, what radiosondes are filled for
METRES_PER_DEGREE = 6371000.0 * np.pi / 180


@dataclass(frozen=True)
class Track:
    """Per level: seconds since release (0 where unknown), latitude and longitude in degrees."""

    seconds: FloatArray
    lat: FloatArray
    lon: FloatArray


def track(soundings: Soundings) -> Track:
    """The position at each level: the wind of the levels below, integrated over the time between them.

    Time is ETIME, or else the height above the lowest level at 5 m/s; a level without either is where the last one
    before it was. A sounding with fewer than two winds in time stays at its station.
    """
    reports, levels = soundings.reports, soundings.levels
    seconds = _elapsed(levels.etime)
    height = decode(levels.gph, 1.0)
    angle, speed = np.deg2rad(decode(levels.wdir, 1.0)), decode(levels.wspd, 0.1)
    winds = np.stack([-speed * np.sin(angle), -speed * np.cos(angle)], -1)
    lat, lon = (np.repeat(values, reports.count) for values in (reports.lat, reports.lon))
    for first, count in zip(reports.first.tolist(), reports.count.tolist(), strict=True):
        own = slice(first, first + count)
        time = _times(seconds[own], height[own], levels.minor[own])
        seconds[own] = time
        known = np.flatnonzero(np.isfinite(winds[own]).all(-1))
        known = known[np.argsort(time[known], kind="stable")]
        if len(known) < 2:
            continue
        at, wind = time[known], winds[own][known]
        steps = np.diff(at)[:, None] * (wind[1:] + wind[:-1]) / 2
        path = np.concatenate([wind[:1] * at[0], wind[:1] * at[0] + np.cumsum(steps, 0)])
        # Before the first wind the balloon was at the station; after the last it stays.
        at, path = np.concatenate([[0.0], at]), np.concatenate([[[0.0, 0.0]], path])
        east, north = (np.interp(time, at, path[:, k]) for k in (0, 1))
        lat[own] += north / METRES_PER_DEGREE
        lon[own] += east / (METRES_PER_DEGREE * np.maximum(np.cos(np.deg2rad(lat[own])), 0.02))
    over = abs(lat) > 90
    lat = np.where(over, np.sign(lat) * 180 - lat, lat)
    lon = np.where(over, lon + 180, lon)
    return Track(seconds, lat, np.where((lon < -180) | (lon > 360), (lon + 180) % 360 - 180, lon))


def _elapsed(etime: npt.NDArray[np.int32]) -> FloatArray:
    """MMMSS as seconds, NaN where missing."""
    absent = np.isin(etime, (MISSING, REMOVED, MISSING_DERIVED)) | (etime < 0)
    return np.where(absent, np.nan, etime // 100 * 60.0 + etime % 100)


def _times(seconds: FloatArray, height: FloatArray, minor: npt.NDArray[np.int8]) -> FloatArray:
    """Seconds since release at each level of one sounding, never negative."""
    surface = np.flatnonzero((minor == 1) & np.isfinite(height))
    ground = height[surface[0]] if len(surface) else (np.nanmin(height) if np.isfinite(height).any() else np.nan)
    time = np.where(np.isnan(seconds), (height - ground) / ASCENT, seconds)
    known = np.where(np.isfinite(time), np.arange(len(time)), 0)
    time = time[np.maximum.accumulate(known)] if len(time) else time
    return np.asarray(np.maximum(np.nan_to_num(time), 0.0))
