"""What instruments and operators do to the truth: random errors, gaps, and now and then a gross mistake."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.obs.errors import observation_error

__all__ = ["GROSS_FRACTION", "Readings", "read_instruments"]

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

GROSS_FRACTION = 0.01
GROSS_SIGMAS = (10.0, 25.0)  # standard deviations of the observation error
LEAST_HUMIDITY = 1e-6  # kg/kg
MOIST = 4e-3  # kg/kg
MISSING_FRACTION = {"t": 0.02, "u": 0.03, "q": 0.05, "z": 0.02, "sp": 0.01}
REMOVED_FRACTION = 0.003


@dataclass(frozen=True)
class Readings:
    """The channel's values as read, (n,), and which of them are gaps, removed by quality assurance, or gross errors."""

    value: FloatArray
    missing: Mask
    removed: Mask
    gross: Mask


def read_instruments(
    truth: dict[str, FloatArray], channels: dict[str, Channel], rng: np.random.Generator
) -> dict[str, Readings]:
    """Readings of the true values (n,) by channel name; both components of a wind share their gaps and mistakes.

    Gross errors are of several kinds: a spike either way, a wind reversed or given in knots, a height with a wrong
    digit, a pressure misread by tens of hPa, a sign lost before a temperature in degrees Celsius, a humidity sensor
    that is dry in moist air. A channel of temperature must come before that of humidity at its level.
    """
    readings: dict[str, Readings] = {}
    for name, channel in channels.items():
        if channel.variable == "v":
            continue
        n = len(truth[name])
        missing = rng.random(n) < MISSING_FRACTION[channel.variable]
        removed = rng.random(n) < REMOVED_FRACTION
        gross = (rng.random(n) < GROSS_FRACTION) & ~missing & ~removed
        if channel.variable == "q":
            # A dry sensor is a gross mistake in moist air alone; and humidity is told relative to the temperature, so
            # with a mistaken one there would be none.
            gross &= truth[name] > MOIST
            missing |= readings[name.replace("q", "t")].gross
            gross &= ~missing
        if channel.variable == "u":
            partner = name.replace("u", "v")
            u, v = (_noisy(channels[c], truth[c], rng) for c in (name, partner))
            u, v = _mistaken_wind(u, v, gross, rng)
            readings[name] = Readings(u, missing, removed, gross)
            readings[partner] = Readings(v, missing, removed, gross)
        else:
            value = _mistaken(channel, _noisy(channel, truth[name], rng), truth[name], gross, rng)
            readings[name] = Readings(value, missing, removed, gross)
    return readings


def _noisy(channel: Channel, truth: FloatArray, rng: np.random.Generator) -> FloatArray:
    value = truth + observation_error(channel, truth) * rng.standard_normal(len(truth))
    return np.maximum(value, LEAST_HUMIDITY) if channel.variable == "q" else value


def _mistaken_wind(
    u: FloatArray, v: FloatArray, gross: Mask, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Reversed, or knots taken for m/s, where the wind is strong enough for that to be gross; else a spike."""
    kind = rng.integers(0, 3, len(u))
    speed = np.hypot(u, v)
    factor = np.where((kind == 0) & (speed > 15), -1.0, np.where((kind == 1) & (speed > 30), 1.944, 1.0))
    size = rng.uniform(25, 50, len(u)) / np.maximum(speed, 0.1)
    factor = np.where(factor == 1.0, -size, factor)
    return np.where(gross, u * factor, u), np.where(gross, v * factor, v)


def _mistaken(
    channel: Channel, value: FloatArray, truth: FloatArray, gross: Mask, rng: np.random.Generator
) -> FloatArray:
    n = len(value)
    sign = rng.choice([-1.0, 1.0], n)
    wrong = value + sign * rng.uniform(*GROSS_SIGMAS, n) * observation_error(channel, truth)
    if channel.variable == "z":
        wrong = np.where(rng.random(n) < 0.5, value + sign * 100 * rng.integers(2, 10, n), wrong)
    elif channel.variable == "sp":
        wrong = np.where(rng.random(n) < 0.5, value + sign * 1000 * rng.integers(2, 10, n), wrong)
    elif channel.variable == "t":
        celsius = value - 273.15
        wrong = np.where((rng.random(n) < 0.3) & (abs(celsius) > 8), 273.15 - celsius, wrong)
    elif channel.variable == "q":
        wrong = value * rng.uniform(0.0, 0.05, n) + LEAST_HUMIDITY
    return np.where(gross, wrong, value)
