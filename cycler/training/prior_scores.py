"""What tells samples of a prior from states of the atmosphere: spectra, distributions, balance of mass and wind."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.training.free_run import zonal_spectrum
from dacycle.emulators.grid import Grid

__all__ = ["agreement", "geostrophy", "histograms", "seam", "spectral_ratio"]

FloatArray = npt.NDArray[np.float64]
GRAVITY = 9.80665  # m s-2
EARTH_RADIUS = 6.371e6  # m
ROTATION = 7.292e-5  # s-1
POLEWARD = (25.0, 70.0)  # degrees: where geostrophy holds and metric terms are tame


def spectral_ratio(samples: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], grid: Grid) -> FloatArray:
    """Mean energy of the samples over that of the truth per channel and zonal wavenumber (channels, waves); both
    (n, channels, nlat, nlon)."""
    ours, theirs = (np.mean([zonal_spectrum(state, grid) for state in part], 0) for part in (samples, truth))
    return np.asarray(ours / np.maximum(theirs, 1e-30))


def agreement(ratio: npt.NDArray[np.floating], factor: float) -> float:
    """Share of the ratios (any shape) that lie between 1 / ``factor`` and ``factor``."""
    return float(((ratio >= 1 / factor) & (ratio <= factor)).mean())


def histograms(
    samples: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], bins: int = 40
) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
    """Per channel: edges, and the share of values in each bin for samples and truth."""
    told = []
    for k in range(truth.shape[1]):
        edges = np.linspace(float(np.quantile(truth[:, k], 0.0005)), float(np.quantile(truth[:, k], 0.9995)), bins + 1)
        inside = [part[:, k].clip(edges[0], edges[-1]) for part in (samples, truth)]
        ours, theirs = (np.histogram(values, edges)[0] / values.size for values in inside)
        told.append((edges, ours, theirs))
    return told


def geostrophy(states: npt.NDArray[np.floating], channels: Sequence[Channel], grid: Grid) -> tuple[float, float]:
    """Correlation of u and v at 500 hPa with the geostrophic wind of z500, both hemispheres' middle latitudes."""
    names = [c.name for c in channels]
    z, u, v = (states[:, names.index(name)].astype(np.float64) for name in ("z500", "u500", "v500"))
    lat = np.deg2rad(grid.lat)
    inside = (np.abs(grid.lat) >= POLEWARD[0]) & (np.abs(grid.lat) <= POLEWARD[1])
    f = 2 * ROTATION * np.sin(lat)[:, None]
    dz_north = np.gradient(z, lat, axis=-2) / EARTH_RADIUS
    step = 2 * np.pi / z.shape[-1]
    dz_east = (np.roll(z, -1, -1) - np.roll(z, 1, -1)) / (2 * step * EARTH_RADIUS * np.cos(lat)[:, None])
    u_g, v_g = -GRAVITY / f * dz_north, GRAVITY / f * dz_east
    pairs = ((u, u_g), (v, v_g))
    found = [np.corrcoef(a[:, inside].ravel(), b[:, inside].ravel())[0, 1] for a, b in pairs]
    return float(found[0]), float(found[1])


def seam(states: npt.NDArray[np.floating]) -> FloatArray:
    """Per channel: mean square step across longitude 0 over that between other neighbours; 1 where there is no seam."""
    steps = np.square(states - np.roll(states, 1, -1)).mean((0, 2))
    return np.asarray(steps[:, 0] / steps[:, 1:].mean(1))
