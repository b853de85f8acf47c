"""A sounding against itself: hydrostatic balance between its levels, and its lapse rate."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.profiles import Profiles

__all__ = ["vertical_consistency"]

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

GRAVITY = 9.80665  # m s-2
GAS_CONSTANT_DRY = 287.05  # J kg-1 K-1
VIRTUAL = 0.608
TOLERANCE_M = 50.0
TOLERANCE_CURVATURE_M = 290.0
"""Times ln(p1/p2)^2: temperature is not linear in ln p between two levels, and what that costs grows with the square
of the depth. Over 500-250 hPa a low tropopause alone makes 100 m."""
LAPSE_RATES = (-0.006, 0.0108)  # K m-1: a deep inversion, and somewhat more than dry adiabatic


@dataclass(frozen=True)
class _Node:
    """A level of all reports: names of its height and temperature channels, and the values (r,), p in Pa."""

    height_name: str
    temperature_name: str
    height: FloatArray
    temperature: FloatArray
    pressure: FloatArray


def vertical_consistency(batch: ObservationBatch) -> ObservationBatch:
    """VERTICAL for values that disagree with their own profile; see ``_hydrostatic`` and ``_lapse_rate``."""
    batch = _hydrostatic(batch)
    return _lapse_rate(batch)


def _nodes(profiles: Profiles) -> list[_Node]:
    """The surface and the levels, from below; temperature virtual, the humidity above the lowest level neglected."""
    levels = profiles.levels()
    humidity = {p: np.nan_to_num(profiles.values(f"q{p}")) for p in levels}
    near_surface = humidity[levels[0]] if levels else 0.0
    nodes = [
        _Node(
            "sp",
            "2t",
            profiles.elevation(),
            profiles.values("2t") * (1 + VIRTUAL * near_surface),
            profiles.values("sp"),
        )
    ]
    for p in levels:
        temperature = profiles.values(f"t{p}") * (1 + VIRTUAL * humidity[p])
        nodes.append(
            _Node(f"z{p}", f"t{p}", profiles.values(f"z{p}"), temperature, np.full(profiles.reports, 100.0 * p))
        )
    return nodes


def _hydrostatic(batch: ObservationBatch) -> ObservationBatch:
    """Thickness between neighbouring levels against R/g T ln(p1/p2), T the mean of both virtual temperatures.

    An error in a height shows in the layers below and above with opposite signs, one in a temperature with the same
    sign; so the culprit is named where both layers are known. Of a single inconsistent layer, the end is blamed, height
    and temperature, that no further layer confirms while one confirms the other; at the ground it is the surface
    pressure. Where that leaves no culprit, or more than one, the buddy check has to tell.
    """
    profiles = Profiles.of(batch)
    nodes = _nodes(profiles)
    residuals: list[FloatArray] = []
    bad: list[Mask] = []
    good: list[Mask] = []
    for below, above in pairwise(nodes):
        thickness = above.height - below.height
        mean = (below.temperature + above.temperature) / 2
        depth = np.log(below.pressure / above.pressure)
        residual = thickness - GAS_CONSTANT_DRY / GRAVITY * mean * depth
        tolerance = TOLERANCE_M + TOLERANCE_CURVATURE_M * depth**2
        residuals.append(residual)
        bad.append(abs(residual) > tolerance)
        good.append(abs(residual) <= tolerance)

    marked = np.zeros(len(batch), np.bool_)
    explained = [np.zeros(profiles.reports, np.bool_) for _ in bad]
    for k in range(1, len(nodes) - 1):
        both = bad[k - 1] & bad[k] & ~explained[k - 1]
        opposite = residuals[k - 1] * residuals[k] < 0
        marked |= profiles.mask(nodes[k].height_name, both & opposite)
        marked |= profiles.mask(nodes[k].temperature_name, both & ~opposite)
        for layer in (k - 1, k):
            explained[layer] |= both
    for k, inconsistent in enumerate(bad):
        alone = inconsistent & ~explained[k]
        if k == 0:
            marked |= profiles.mask("sp", alone)
            continue
        known_below, known_above = _known(bad, good, k - 1), _known(bad, good, k + 1)
        for node, culprit in ((k + 1, good[k - 1] & ~known_above), (k, ~known_below & _confirmed(good, k + 1))):
            marked |= profiles.mask(nodes[node].temperature_name, alone & culprit)
            marked |= profiles.mask(nodes[node].height_name, alone & culprit)
    return batch.mark(marked, Quality.VERTICAL)


def _known(bad: list[Mask], good: list[Mask], layer: int) -> Mask:
    """Whether the layer has been judged."""
    return bad[layer] | good[layer] if layer < len(good) else np.zeros_like(good[0])


def _confirmed(good: list[Mask], layer: int) -> Mask:
    """Whether the layer is consistent."""
    return good[layer] if layer < len(good) else np.zeros_like(good[0])


def _lapse_rate(batch: ObservationBatch) -> ObservationBatch:
    """Temperature between neighbouring levels must not fall faster than in free convection nor rise without end."""
    profiles = Profiles.of(batch)
    marked = np.zeros(len(batch), np.bool_)
    levels = profiles.levels()
    for below, above in pairwise(levels):
        lower, upper = profiles.values(f"t{below}"), profiles.values(f"t{above}")
        thickness = GAS_CONSTANT_DRY / GRAVITY * (lower + upper) / 2 * np.log(below / above)
        rate = (lower - upper) / thickness
        bad = (rate < LAPSE_RATES[0]) | (rate > LAPSE_RATES[1])
        marked |= profiles.mask(f"t{below}", bad) | profiles.mask(f"t{above}", bad)
    return batch.mark(marked, Quality.VERTICAL)
