"""Station against model ground: surface values moved from one to the other, and levels that the model has no air at."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dacycle.channels import channel
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.profiles import Profiles

__all__ = ["LAPSE_RATE", "MAX_DIFFERENCE", "below_ground", "pressure_ratio", "reduce_to_model"]

FloatArray = npt.NDArray[np.float64]

GRAVITY = 9.80665  # m s-2
GAS_CONSTANT_DRY = 287.05  # J kg-1 K-1
LAPSE_RATE = 0.0065  # K m-1
MAX_DIFFERENCE = 300.0
"""m between station and model beyond which surface values say nothing about the model's."""
STANDARD_TEMPERATURE = 288.15  # K at sea level


def pressure_ratio(temperature: FloatArray, height: FloatArray) -> FloatArray:
    """p(z + height) / p(z) in hydrostatic balance with a constant lapse rate; ``temperature`` (K) at z.

    (1 - L height / T) ** (g / R L), so that moving up and then down again is the identity.
    """
    return np.asarray((1 - LAPSE_RATE * height / temperature) ** (GRAVITY / (GAS_CONSTANT_DRY * LAPSE_RATE)))


def reduce_to_model(batch: ObservationBatch, model_elevation: npt.NDArray[np.floating]) -> ObservationBatch:
    """Surface pressure and 2 m temperature at the model's ground; ``model_elevation`` (n,): m, at each value.

    Pressure hydrostatically with the report's own 2 m temperature (the standard atmosphere's where it has none),
    temperature by 6.5 K/km; ``elevation`` keeps the station's. ELEVATION for all surface values, wind among them,
    of stations more than 300 m from the model's ground or of unknown elevation.
    """
    if len(model_elevation) != len(batch):
        raise ValueError(f"model_elevation must have the batch's length {len(batch)}; got {len(model_elevation)}")
    surface = np.isin(batch.channel, ["2t", "10u", "10v", "sp"])
    rise = np.asarray(model_elevation, np.float64) - batch.elevation
    near = abs(rise) <= MAX_DIFFERENCE
    batch = batch.mark(surface & ~near, Quality.ELEVATION)
    if not len(batch):
        return batch
    profiles = Profiles.of(batch)
    measured = profiles.values("2t")[profiles.row]
    temperature = np.where(np.isnan(measured), STANDARD_TEMPERATURE - LAPSE_RATE * batch.elevation, measured)
    moves = near & np.isfinite(batch.value)
    height = np.where(moves, rise, 0.0)
    warm = np.where(moves, temperature, STANDARD_TEMPERATURE)
    value = np.where((batch.channel == "sp") & moves, batch.value * pressure_ratio(warm, height), batch.value)
    value = np.where((batch.channel == "2t") & moves, batch.value - LAPSE_RATE * height, value)
    return replace(batch, value=value)


def below_ground(batch: ObservationBatch, model_surface_pressure: npt.NDArray[np.floating]) -> ObservationBatch:
    """OPERATOR_FAILED for levels at a higher pressure than the model's ground; ``model_surface_pressure`` (n,): Pa."""
    level = np.array([100.0 * (channel(name).level_hpa or 0) for name in batch.channel.tolist()])
    return batch.mark(level > np.asarray(model_surface_pressure), Quality.OPERATOR_FAILED)
