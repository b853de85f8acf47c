"""Small made-up products that the tests of this folder share."""

from datetime import UTC, datetime

import numpy as np

from dacycle.channels import DEFAULT_CHANNELS, Channel
from dacycle.cycler.products.ensemble import Ensemble
from dacycle.cycler.products.observations import ObservationTable
from dacycle.cycler.products.provenance import Provenance
from dacycle.cycler.products.publish import ProductRequest
from dacycle.emulators.grid import gaussian_grid
from dacycle.obs.batch import ObservationBatch, Quality

TIME = datetime(2005, 8, 26, 0, tzinfo=UTC)
BASE = {
    "t": (270.0, 20.0),
    "u": (5.0, 15.0),
    "v": (0.0, 10.0),
    "q": (6e-3, 2e-3),
    "sp": (9.8e4, 4e3),
    "z": (5e3, 300.0),
}
PROVENANCE = Provenance(
    bundle="tiny",
    bundle_digest="ab" * 32,
    world="simulated",
    version="0.1.0",
    method="sda",
    seed=7,
    members=3,
    chunk=2,
    threads=2,
    config_digest="cd" * 32,
    background="forecast",
    inputs={"XXM00000001-data.txt": "ef" * 32, "analysis 2005-08-25T12": "01" * 32},
)


def ensemble(
    members: int = 3,
    shape: tuple[int, int] = (16, 32),
    channels: tuple[Channel, ...] = DEFAULT_CHANNELS,
    hours: int | None = None,
    seed: int = 0,
) -> Ensemble:
    """Waves on a north-south gradient that differ by member; no two points of a row alike."""
    rng = np.random.default_rng(seed)
    grid = gaussian_grid(*shape)
    lat, lon = np.deg2rad(grid.lat)[:, None], np.deg2rad(grid.lon)[None]
    states = np.empty((members, len(channels), *shape), np.float32)
    for m in range(members):
        for k, c in enumerate(channels):
            mean, scale = BASE[c.variable]
            wave = np.cos(lat) * np.sin((1 + k % 4) * lon + 0.3 * m + seed) + 0.01 * rng.standard_normal(shape)
            states[m, k] = mean + scale * (0.5 * np.cos(2 * lat) + wave)
    return Ensemble(states, channels, grid, TIME, hours)


def batch(n: int = 40) -> ObservationBatch:
    """Values of all channels with every verdict; one station's elevation and one release hour are peculiar."""
    rng = np.random.default_rng(1)
    codes = np.array([code.value for code in Quality], np.int16)
    elevation = rng.uniform(0, 3000, n)
    elevation[: min(1, n)] = np.nan
    time = np.full(n, np.datetime64("2005-08-26T00:00:00", "s"))
    time[: min(1, n)] = np.datetime64("2005-08-25T23:03:00", "s")
    return ObservationBatch(
        analysis_time=TIME,
        channel=np.resize([c.name for c in DEFAULT_CHANNELS], n),
        lat=rng.uniform(-90, 90, n),
        lon=rng.uniform(-180, 180, n),
        time=time,
        value=rng.normal(size=n),
        sigma=rng.uniform(0.5, 1.5, n),
        elevation=elevation,
        station=np.resize(["XXM00000001", "XXM00000002"], n),
        report=np.resize(["XXM00000001 2005-08-26T00 2303", "XXM00000002 2005-08-26T00 9999"], n),
        quality=np.resize(codes, n),
    )


def table(n: int = 40, members: int = 3) -> ObservationTable:
    """Equivalents for the analysis; the background has none for the first value."""
    rng = np.random.default_rng(2)
    background = rng.normal(size=(members, n))
    background[:, : min(1, n)] = np.nan
    return ObservationTable.of(batch(n), background, rng.normal(size=(members, n)))


def small(seed: int = 0, **changes: object) -> ProductRequest:
    """As ``request``, with two channels on few points and no members, for tests that publish often."""
    sample = ensemble(2 + seed, (4, 8), DEFAULT_CHANNELS[:2], seed=seed)
    return request(seed, **{"analysis": sample, "observations": table(5), "members": False, **changes})


def request(seed: int = 0, **changes: object) -> ProductRequest:
    """A delayed cycle with everything in it."""
    content: dict[str, object] = {
        "time": TIME,
        "stream": "delayed",
        "provenance": PROVENANCE,
        "analysis": ensemble(seed=seed),
        "observations": table(),
        "runtime": {"published": "2026-01-01T00:00:00Z"},
    }
    return ProductRequest(**{**content, **changes})  # type: ignore[arg-type]
