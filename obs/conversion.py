"""Soundings -> observations of the model's channels: mandatory levels and the surface, in the model's units."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.drift import track
from dacycle.obs.errors import observation_error
from dacycle.obs.moisture import ZERO_CELSIUS, specific_humidity, vapour_pressure
from dacycle.obs.soundings import REMOVED, Levels, Soundings, decode

__all__ = ["observations"]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int16]

ELEVATION_TOLERANCE = 100.0
"""m: a surface level whose height is further from the station list than this is taken for a typing error."""
SUPERSATURATION = 1100
"""0.1 %: relative humidity beyond which the sensor, not the air, is at fault."""
AIR_CELSIUS = (-120.0, 60.0)
"""Beyond these the formula of the vapour pressure is of no use, and neither is the temperature."""


@dataclass(frozen=True)
class _Values:
    """Values of a variable at some levels with what their own line says of them; NaN and no code: not observed."""

    value: FloatArray
    quality: Codes


def observations(
    soundings: Soundings, time: datetime, channels: Sequence[Channel], drift: bool = False
) -> ObservationBatch:
    """Everything in ``soundings`` that observes one of ``channels``, with observation errors, channel by channel.

    Upper-air channels take levels at exactly their pressure, surface channels the surface level. Values that the
    archive's quality assurance removed come as NaN with INCOMING_FLAG, impossible ones with GROSS, and what is
    reported below the sounding's own surface pressure with OPERATOR_FAILED. Time is the release where it is known.
    Soundings without a position observe nothing. With ``drift`` a value is where and when the balloon was.
    """
    reports, levels = soundings.reports, soundings.levels
    owner = soundings.owner
    elevation, ground = _surface(soundings)
    placed = np.isfinite(reports.lat)[owner]
    release = np.where(np.isnat(reports.release), reports.reference, reports.release).astype("datetime64[s]")
    key = reports.key
    lat, lon, when = reports.lat[owner], reports.lon[owner], release[owner]
    if drift:
        path = track(soundings)
        lat, lon, when = path.lat, path.lon, when + path.seconds.astype("timedelta64[s]")
    parts: list[ObservationBatch] = []
    for channel in channels:
        at_surface = channel.level_hpa is None
        on_level = (levels.minor == 1) if at_surface else (levels.press == 100 * (channel.level_hpa or 0))
        rows = np.flatnonzero(on_level & placed)
        values = _variable(channel.variable, levels.take(rows))
        if not at_surface:
            buried = (levels.press[rows] > ground[owner[rows]]) & (values.quality == Quality.ASSIMILATED)
            values.quality[buried] = Quality.OPERATOR_FAILED
        told = np.isfinite(values.value) | (values.quality == Quality.INCOMING_FLAG)
        rows, value = rows[told], values.value[told]
        report = owner[rows]
        parts.append(
            ObservationBatch(
                analysis_time=time,
                channel=np.full(len(rows), channel.name, "U8"),
                lat=lat[rows],
                lon=lon[rows],
                time=when[rows],
                value=value,
                sigma=observation_error(channel, value),
                elevation=elevation[report],
                station=reports.station[report],
                report=key[report],
                quality=values.quality[told],
            )
        )
    names = parts[0].arrays() if parts else {}
    return ObservationBatch(time, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _surface(soundings: Soundings) -> tuple[FloatArray, FloatArray]:
    """Per report: elevation in m, NaN when unknown, and the pressure of its surface level in Pa, infinite when unknown.

    The height that the surface level reports is the one its pressure was measured at, so it goes before the list's.
    """
    levels, owner = soundings.levels, soundings.owner
    rows = np.flatnonzero(levels.minor == 1)
    reported = np.full(len(soundings), np.nan)
    reported[owner[rows]] = decode(levels.gph[rows], 1.0)
    pressure = np.full(len(soundings), np.inf)
    pressure[owner[rows]] = np.nan_to_num(decode(levels.press[rows], 1.0), nan=np.inf)
    listed = soundings.reports.elevation
    trusted = np.isfinite(reported) & ~(abs(reported - listed) > ELEVATION_TOLERANCE)
    return np.where(trusted, reported, listed), pressure


def _variable(variable: str, levels: Levels) -> _Values:
    """The variable (t, u, v, q, z, sp) at each of ``levels``."""
    if variable == "t":
        return _Values(decode(levels.temp, 0.1) + ZERO_CELSIUS, _removed(levels.temp))
    if variable == "z":
        return _Values(decode(levels.gph, 1.0), _removed(levels.gph))
    if variable == "sp":
        return _Values(decode(levels.press, 1.0), _removed(levels.press))
    return _humidity(levels) if variable == "q" else _wind(variable, levels)


def _removed(*columns: npt.NDArray[np.int32]) -> Codes:
    """INCOMING_FLAG where the archive removed one of the columns."""
    removed = np.logical_or.reduce([column == REMOVED for column in columns])
    return np.where(removed, np.int16(Quality.INCOMING_FLAG), np.int16(Quality.ASSIMILATED))


def _wind(variable: str, levels: Levels) -> _Values:
    """A component of the wind from the direction it blows from: u = -V sin d, v = -V cos d."""
    direction, speed = decode(levels.wdir, 1.0), decode(levels.wspd, 0.1)
    angle = np.deg2rad(direction)
    value = -speed * (np.sin(angle) if variable == "u" else np.cos(angle))
    quality = _removed(levels.wdir, levels.wspd)
    impossible = (direction < 0) | (direction > 360) | (speed < 0)
    return _Values(value, np.where(impossible, np.int16(Quality.GROSS), quality))


def _humidity(levels: Levels) -> _Values:
    """Specific humidity from the dew-point depression, or from relative humidity where that is all there is."""
    measured, pressure = decode(levels.temp, 0.1), decode(levels.press, 1.0)
    temperature = np.clip(measured, *AIR_CELSIUS)
    depression, relative = decode(levels.dpdp, 0.1), decode(levels.rh, 0.001)
    by_depression = np.isfinite(depression)
    vapour = np.where(by_depression, vapour_pressure(temperature - depression), relative * vapour_pressure(temperature))
    value = specific_humidity(vapour, pressure)
    impossible = np.where(by_depression, depression < 0, (relative < 0) | (levels.rh > SUPERSATURATION))
    impossible |= measured != temperature
    quality = np.where(np.isnan(value), _removed(levels.dpdp, levels.rh, levels.temp), np.int16(Quality.ASSIMILATED))
    return _Values(value, np.where(np.isfinite(value) & impossible, np.int16(Quality.GROSS), quality))
