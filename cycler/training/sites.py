"""The sites of a made-up radiosonde network: mostly on land, nowhere crowded, at elevations unlike the model's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dacycle.cycler.training.dataset import Dataset
from dacycle.emulators.grid import EARTH_RADIUS_KM, bilinear
from dacycle.errors import DacycleError
from dacycle.obs.igra.stations import Station

__all__ = ["PREFIX", "Sites", "place_sites"]

FloatArray = npt.NDArray[np.float64]

PREFIX = "QQX"
"""QQ is the code of no country and in no real station's ID (XX is in one); X stands for made-up identifiers."""

SPACING_KM = 220.0
SEA_WEIGHT = 0.05
SOUTHERN_WEIGHT = 0.3  # of land beyond 60 degrees south
ELEVATION_SPREAD = 150.0  # m, between a site and the model's smooth orography
UNLISTED_ELEVATION = 0.02
CANDIDATES_PER_SITE = 60


@dataclass(frozen=True)
class Sites:
    """n sites: id, lat, lon (degrees), elevation and the model's orography there (m); corners and weights (n, 4) of
    the interpolation from the model's grid.
    """

    id: npt.NDArray[np.str_]
    lat: FloatArray
    lon: FloatArray
    elevation: FloatArray
    orography: FloatArray
    corners: npt.NDArray[np.int64]
    weights: FloatArray

    def sample(self, field: npt.NDArray[np.floating]) -> FloatArray:
        """(n,): a model field (nlat, nlon) at the sites."""
        return np.asarray((field.reshape(-1)[self.corners] * self.weights).sum(-1), np.float64)

    def stations(
        self, years: tuple[int, int], soundings: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> list[Station]:
        """Their lines in the station list; a few elevations are missing there, as in the real one."""
        unlisted = rng.random(len(self.id)) < UNLISTED_ELEVATION
        return [
            Station(
                self.id[k].item(),
                self.lat[k].item(),
                self.lon[k].item(),
                None if unlisted[k] else self.elevation[k].item(),
                "",
                f"SIMULATED SITE {k + 1:04d}",
                years[0],
                years[1],
                int(soundings[k]),
            )
            for k in range(len(self.id))
        ]


def place_sites(run: Dataset, number: int, seed: int) -> Sites:
    """``number`` sites, the same for the same seed; DacycleError when the globe has no room for so many."""
    rng = np.random.default_rng([seed, 0])
    many = CANDIDATES_PER_SITE * number
    lat = np.rad2deg(np.arcsin(rng.uniform(-1, 1, many))).round(4)
    lon = rng.uniform(-180, 180, many).round(4)
    corners, weights = bilinear(run.grid, lat, lon)
    land = (run.land.reshape(-1)[corners] * weights).sum(-1)
    likely = SEA_WEIGHT + land * np.where(lat < -60, SOUTHERN_WEIGHT, 1.0)
    wanted = np.flatnonzero(rng.random(many) < likely)
    chosen = _apart(lat[wanted], lon[wanted], number)
    if len(chosen) < number:
        raise DacycleError(f"there is room for {len(chosen)} sites {SPACING_KM:.0f} km apart; {number} were wanted")
    rows = wanted[chosen]
    orography = (run.orography.reshape(-1)[corners[rows]] * weights[rows]).sum(-1)
    # Spectral orography ripples around zero over the sea, where a real site stands a little above the water.
    ashore = np.abs(orography + rng.normal(0, ELEVATION_SPREAD, number))
    elevation = np.where(land[rows] > 0.3, ashore, rng.uniform(2, 30, number)).round(1)
    identifiers = np.array([f"{PREFIX}{k + 1:08d}" for k in range(number)])
    return Sites(identifiers, lat[rows], lon[rows], elevation, orography, corners[rows], weights[rows])


def _apart(lat: FloatArray, lon: FloatArray, number: int) -> npt.NDArray[np.int64]:
    """The first ``number`` points that keep their distance from those before them."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    xyz = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    nearest = np.cos(SPACING_KM / EARTH_RADIUS_KM)
    chosen: list[int] = []
    for k in range(len(xyz)):
        if len(chosen) == number:
            break
        if not chosen or (xyz[chosen] @ xyz[k]).max() < nearest:
            chosen.append(k)
    return np.array(chosen, np.int64)
