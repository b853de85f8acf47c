"""Observations against the background, and the departures of neighbours against each other."""

import numpy as np
import numpy.typing as npt

from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.profiles import wind_pairs

__all__ = ["background_check", "buddy_check"]

FloatArray = npt.NDArray[np.float64]

EARTH_RADIUS_KM = 6371.0


def background_check(
    batch: ObservationBatch,
    background: npt.NDArray[np.floating],
    spread: npt.NDArray[np.floating],
    k: float = 4.0,
) -> ObservationBatch:
    """BACKGROUND where |y - Hx| > k sqrt(so^2 + sb^2); both components of a wind fall together.

    ``background``: the equivalents Hx (n,), or those of N members (N, n), whose mean is taken; ``spread`` (n,): the
    background's standard deviation sb. A value without finite equivalent is OPERATOR_FAILED.
    """
    departure, total = _departure(batch, background, spread)
    batch = batch.mark(~np.isfinite(departure) | ~np.isfinite(total), Quality.OPERATOR_FAILED)
    with np.errstate(invalid="ignore"):
        outlier = abs(departure) > k * total
    return batch.mark(wind_pairs(batch, outlier & (batch.quality == Quality.ASSIMILATED)), Quality.BACKGROUND)


def buddy_check(
    batch: ObservationBatch,
    background: npt.NDArray[np.floating],
    spread: npt.NDArray[np.floating],
    radius_km: float = 700.0,
    neighbours: int = 3,
    k: float = 3.0,
) -> ObservationBatch:
    """BUDDY for a departure that its neighbours in the same channel contradict.

    The departure's own deviation from the median of its neighbours' (at least ``neighbours`` other stations within
    ``radius_km``) is compared with k sqrt(so^2 + sb^2); only values whose own departure exceeds half of that are
    suspect, so that a good value among bad ones is not outvoted.
    """
    departure, total = _departure(batch, background, spread)
    usable = (batch.quality == Quality.ASSIMILATED) & np.isfinite(departure) & np.isfinite(total)
    struck = np.zeros(len(batch), np.bool_)
    for name in np.unique(batch.channel[usable]).tolist():
        rows = np.flatnonzero(usable & (batch.channel == name))
        near = _distance_km(batch.lat[rows], batch.lon[rows]) <= radius_km
        near &= batch.station[rows][:, None] != batch.station[rows][None]
        for i in np.flatnonzero(abs(departure[rows]) > k / 2 * total[rows]):
            others = departure[rows[near[i]]]
            if len(others) >= neighbours:
                struck[rows[i]] = abs(departure[rows[i]] - np.median(others)) > k * total[rows[i]]
    return batch.mark(wind_pairs(batch, struck), Quality.BUDDY)


def _departure(
    batch: ObservationBatch, background: npt.NDArray[np.floating], spread: npt.NDArray[np.floating]
) -> tuple[FloatArray, FloatArray]:
    """y - Hx and sqrt(so^2 + sb^2), both (n,)."""
    mean = np.asarray(background, np.float64)
    mean = mean.mean(0) if mean.ndim == 2 else mean
    if mean.shape != (len(batch),) or np.shape(spread) != (len(batch),):
        raise ValueError(
            f"expected background and spread for {len(batch)} values; got {mean.shape}, {np.shape(spread)}"
        )
    return batch.value - mean, np.hypot(batch.sigma, np.asarray(spread, np.float64))


def _distance_km(lat: FloatArray, lon: FloatArray) -> FloatArray:
    """(n, n) great-circle distances."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    xyz = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    return np.asarray(EARTH_RADIUS_KM * np.arccos(np.clip(xyz @ xyz.T, -1, 1)))
