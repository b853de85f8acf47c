"""Quality control: what becomes of every value.

``screen`` runs the checks that need no background, in this order; each looks only at values that none before it has
rejected, and every value ends in exactly one code:

1. incoming flags and impossible values (given by the conversion)
2. gross limits
3. duplicates of a station within the window
4. vertical consistency: hydrostatic balance and lapse rate
5. station against model elevation

Afterwards come ``below_ground``, the blacklist, ``background_check``, ``buddy_check`` (neighbours.py), ``thin``
(thinning.py) and ``withhold``, in an order that the cycle decides.
"""

import zlib

import numpy as np
import numpy.typing as npt

from dacycle.channels import channel
from dacycle.obs.background import background_check
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.elevation import below_ground, reduce_to_model
from dacycle.obs.profiles import wind_pairs
from dacycle.obs.vertical import vertical_consistency

__all__ = [
    "GROSS_LIMITS",
    "background_check",
    "below_ground",
    "counts",
    "duplicates",
    "gross_limits",
    "reduce_to_model",
    "screen",
    "vertical_consistency",
    "withhold",
]

_WIND_LIMITS = ((1000, 60.0), (850, 80.0), (500, 110.0), (250, 150.0), (10, 200.0))
_TEMPERATURE_LIMITS = (
    (1000, 200.0, 330.0),
    (850, 200.0, 320.0),
    (500, 205.0, 290.0),
    (250, 175.0, 260.0),
    (100, 165.0, 250.0),
    (10, 165.0, 300.0),
)
_HEIGHT_LIMITS = (
    (1000, -700.0, 700.0),
    (850, 700.0, 2100.0),
    (500, 4200.0, 6200.0),
    (250, 8500.0, 11600.0),
    (100, 13500.0, 17500.0),
    (10, 25000.0, 34000.0),
)
GROSS_LIMITS: dict[str, tuple[float, float]] = {
    "2t": (180.0, 335.0),
    "10u": (-60.0, 60.0),
    "10v": (-60.0, 60.0),
    "sp": (45000.0, 109000.0),
}
"""What no station has ever reported, with some room."""


def screen(batch: ObservationBatch, model_elevation: npt.NDArray[np.floating]) -> ObservationBatch:
    """The checks that need no background. ``model_elevation`` (n,): the model's orography at each value, m.

    Surface pressure and 2 m temperature come back moved to the model's elevation.
    """
    return reduce_to_model(vertical_consistency(duplicates(gross_limits(batch))), model_elevation)


def _limits(name: str) -> tuple[float, float]:
    """Least and largest possible value of a channel, between the tables' levels linear in ln p."""
    if name in GROSS_LIMITS:
        return GROSS_LIMITS[name]
    chosen = channel(name)
    if chosen.variable == "q":
        return 0.0, 0.04
    log_pressure = np.log(chosen.level_hpa or 1000)

    def at_level(levels: list[float], limits: list[float]) -> float:
        return float(np.interp(log_pressure, np.log(levels[::-1]), limits[::-1]))

    if chosen.variable in "uv":
        largest = at_level([p for p, _ in _WIND_LIMITS], [limit for _, limit in _WIND_LIMITS])
        return -largest, largest
    table = _TEMPERATURE_LIMITS if chosen.variable == "t" else _HEIGHT_LIMITS
    levels: list[float] = [p for p, _, _ in table]
    return at_level(levels, [low for _, low, _ in table]), at_level(levels, [high for _, _, high in table])


def gross_limits(batch: ObservationBatch) -> ObservationBatch:
    """GROSS for values that cannot be; both wind components fall together, as one measurement."""
    outside = np.zeros(len(batch), np.bool_)
    for name in np.unique(batch.channel).tolist():
        low, high = _limits(name)
        outside |= (batch.channel == name) & ~((batch.value >= low) & (batch.value <= high))
    return batch.mark(wind_pairs(batch, outside), Quality.GROSS)


def duplicates(batch: ObservationBatch) -> ObservationBatch:
    """DUPLICATE for all but one value of a station and channel: the nominal time nearest the analysis stands.

    Of equally near ones the later release stands: it is the correction. Values already rejected do not count.
    """
    usable = np.flatnonzero(batch.quality == Quality.ASSIMILATED)
    nominal = np.array([report.split(" ")[1] for report in batch.report[usable].tolist()], "datetime64[m]")
    analysis = np.datetime64(int(batch.analysis_time.timestamp()) // 60, "m")
    away = np.where(np.isnat(nominal), np.timedelta64(720, "m"), abs(nominal - analysis)).astype(np.int64)
    later = -batch.time[usable].astype("datetime64[s]").astype(np.int64)
    order = np.lexsort((np.arange(len(usable)), later, away))
    label = np.char.add(batch.station[usable], np.char.add(" ", batch.channel[usable]))
    _, best = np.unique(label[order], return_index=True)
    surplus = np.zeros(len(batch), np.bool_)
    surplus[usable] = True
    surplus[usable[order[best]]] = False
    return batch.mark(surplus, Quality.DUPLICATE)


def withhold(batch: ObservationBatch, folds: int, fold: int) -> ObservationBatch:
    """EVALUATED_ONLY for stations with crc32(ID) % ``folds`` == ``fold``; none when ``folds`` is 0."""
    if folds <= 0:
        return batch
    stations, row = np.unique(batch.station, return_inverse=True)
    chosen = np.array([zlib.crc32(station.encode()) % folds == fold for station in stations.tolist()], np.bool_)
    return batch.mark(chosen[row], Quality.EVALUATED_ONLY) if len(batch) else batch


def counts(batch: ObservationBatch) -> dict[str, int]:
    """How many values ended in each code, by reason; they add up to ``len(batch)``."""
    codes, numbers = np.unique(batch.quality, return_counts=True)
    return {Quality(code).reason: number for code, number in zip(codes.tolist(), numbers.tolist(), strict=True)}
