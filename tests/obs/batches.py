"""Batches made up for tests."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from dacycle.channels import channel
from dacycle.obs.batch import ObservationBatch
from dacycle.obs.errors import observation_error

__all__ = ["NOON", "at_places", "batch", "codes"]

NOON = datetime(2016, 1, 10, 12, tzinfo=UTC)


def batch(
    soundings: Sequence[Mapping[str, float]],
    elevation: float = 0.0,
    stations: Sequence[str] | None = None,
    places: Sequence[tuple[float, float]] | None = None,
    nominal: Sequence[str] | None = None,
    release: Sequence[str] | None = None,
) -> ObservationBatch:
    """Each sounding as channel -> value; one station each unless ``stations`` says otherwise."""
    n = len(soundings)
    stations = stations or [f"AAM{k:08d}" for k in range(n)]
    places = places or [(50.0, 10.0 * k) for k in range(n)]
    nominal = nominal or ["2016-01-10T12"] * n
    release = release or nominal
    rows = [(k, name, value) for k, sounding in enumerate(soundings) for name, value in sounding.items()]
    sigma = [observation_error(channel(name), np.array([value]))[0] for _, name, value in rows]
    return ObservationBatch(
        analysis_time=NOON,
        channel=np.array([name for _, name, _ in rows], "U8"),
        lat=np.array([places[k][0] for k, _, _ in rows], float),
        lon=np.array([places[k][1] for k, _, _ in rows], float),
        time=np.array([release[k] for k, _, _ in rows], "datetime64[s]"),
        value=np.array([value for _, _, value in rows], float),
        sigma=np.array(sigma, float),
        elevation=np.full(len(rows), elevation),
        station=np.array([stations[k] for k, _, _ in rows], "U11"),
        report=np.array([f"{stations[k]} {nominal[k]} {release[k][11:]}" for k, _, _ in rows], "U40"),
        quality=np.zeros(len(rows), np.int16),
    )


def at_places(
    time: datetime, channels: Sequence[str], lat: npt.NDArray[np.float64], lon: npt.NDArray[np.float64]
) -> ObservationBatch:
    """Every channel at every place, with the table's errors (at a value of zero) and values still to be filled in."""
    n = len(lat) * len(channels)
    names = np.repeat(np.array(channels, "U8"), len(lat))
    stations = np.tile(np.array([f"AAM{k:08d}" for k in range(len(lat))], "U11"), len(channels))
    return ObservationBatch(
        analysis_time=time,
        channel=names,
        lat=np.tile(lat, len(channels)),
        lon=np.tile(lon, len(channels)),
        time=np.full(n, np.datetime64(time.replace(tzinfo=None), "s")),
        value=np.zeros(n),
        sigma=np.concatenate([observation_error(channel(name), np.zeros(len(lat))) for name in channels]),
        elevation=np.zeros(n),
        station=stations,
        report=stations.astype("U40"),
        quality=np.zeros(n, np.int16),
    )


def codes(checked: ObservationBatch) -> list[str]:
    """The reasons, value by value."""
    from dacycle.obs.batch import Quality

    return [Quality(code).reason for code in checked.quality.tolist()]
