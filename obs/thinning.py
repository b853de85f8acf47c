"""Of stations that stand side by side, one per channel: they see the same air, and their errors of representativeness
are the same, which an analysis that takes errors for independent would not know."""

import numpy as np
import numpy.typing as npt

from dacycle.obs.batch import ObservationBatch, Quality

__all__ = ["thin"]

EARTH_RADIUS_KM = 6371.0


def thin(batch: ObservationBatch, distance_km: float) -> ObservationBatch:
    """THINNED for a value with one of the same channel from another station within ``distance_km``; 0 thins nothing.

    The station with more values stands, of equal ones the first by ID. Values already rejected do not count.
    """
    usable = np.flatnonzero(batch.quality == Quality.ASSIMILATED)
    if distance_km <= 0 or not len(usable):
        return batch
    stations, first, own = np.unique(batch.station[usable], return_index=True, return_inverse=True)
    near = _near(batch.lat[usable[first]], batch.lon[usable[first]], distance_km)
    names, channel = np.unique(batch.channel[usable], return_inverse=True)
    taken = np.zeros((len(stations), len(names)), np.bool_)
    thinned = np.zeros(len(batch), np.bool_)
    count = np.bincount(own)
    for station in np.lexsort((np.arange(len(stations)), -count)):
        if near[station].sum() == 1:  # itself
            continue
        rows = np.flatnonzero(own == station)
        crowded = taken[near[station]].any(0)[channel[rows]]
        thinned[usable[rows[crowded]]] = True
        taken[station, channel[rows[~crowded]]] = True
    return batch.mark(thinned, Quality.THINNED)


def _near(lat: npt.NDArray[np.float64], lon: npt.NDArray[np.float64], distance_km: float) -> npt.NDArray[np.bool_]:
    """(s, s): whether two stations are within the distance."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    xyz = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    return np.asarray(xyz @ xyz.T >= np.cos(distance_km / EARTH_RADIUS_KM) - 1e-12)
