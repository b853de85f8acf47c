"""A model bundle on disk: its card and statics, read without torch; the networks are loaded where they compute.

bundle.toml              the card: name, grids, channels, training data, scores, licence
prior.safetensors        the diffusion prior
emulator.safetensors     the emulator
statics.nc               orography, land, climatology, standard deviation, forecast-error statistics
"""

import hashlib
import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dacycle.channels import Channel, channel
from dacycle.cycler.assimilation.inflation_factor import InflationFactor, Usual
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.emulators.season import season_basis
from dacycle.errors import BundleError

__all__ = ["NODES", "STATISTICS_HOURS", "Bundle", "Card", "Climatology", "NetworkCard", "open_bundle"]

FloatArray = npt.NDArray[np.float32]
DEFAULT = Path(__file__).resolve().parent.parent / "emulators" / "bundles" / "default"
FORMAT = 1
FILES = ("bundle.toml", "prior.safetensors", "emulator.safetensors", "statics.nc")
STATISTICS_HOURS = 12.0
"""The lead of the forecasts that a bundle's error statistics were estimated from."""
NODES = (0.15, 0.45, 1.0, 2.0)
"""The relative spreads of an emulator's members that statistics by place are for (``assimilation/local_error.py``)."""
LARGEST_SEASON = 5.0  # of its variance over the year's: beyond it the fit is at fault
PACKED_MAXIMUM = 32766  # 32767 and its negative are netCDF's default fill value or next to it


class NetworkCard(BaseModel):
    """A network of the bundle: which registered architecture, and the arguments it is built with."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    architecture: str
    arguments: dict[str, int | float | str | bool | list[int]]


class Card(BaseModel):
    """What ``bundle.toml`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = Field(default=1, ge=1, description="of the bundle's files, counted up when an older program errs")
    name: str
    version: str
    licence: str
    world: str = Field(description='"simulated" or the name of the reanalysis')
    description: str
    channels: list[str]
    analysis_grid: tuple[int, int]
    emulator_grid: tuple[int, int]
    prior: NetworkCard
    emulator: NetworkCard
    training: dict[str, Any] = {}
    scores: dict[str, Any] = {}


@dataclass(frozen=True)
class Climatology:
    """Mean of the date and standard deviation per point.

    ``coefficients`` (5, channels, nlat, nlon): mean, then cosine and sine of one and two cycles a year; ``std``
    (channels, nlat, nlon): standard deviation of the anomalies. Both in the channels' units.
    """

    coefficients: FloatArray
    std: FloatArray

    def mean(self, time: datetime) -> FloatArray:
        """Climatological mean (channels, nlat, nlon) of the date."""
        return np.tensordot(season_basis(time), self.coefficients, 1).astype(np.float32)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Grids run from north to south; statics are float32 on the analysis grid."""

    path: Path
    card: Card
    channels: tuple[Channel, ...]
    grid: Grid
    coarse: Grid
    climatology: Climatology
    orography: FloatArray
    land: FloatArray
    forecast_slope: FloatArray
    forecast_error: FloatArray
    """Both (degrees, channels, channels), of the mean forecast f over STATISTICS_HOURS as the prior's variables
    (normalised anomalies, or control variables), per degree in scaled coefficients: E[x | f] = slope f, and the
    covariance of what is left."""
    analysis_inflation: FloatArray
    """(degrees,): the share of the Gaussian posterior's variance that members drawn with the network lack; 0 where
    nobody has measured it."""
    local_slope: FloatArray | None = None
    local_error: FloatArray | None = None
    """Both (nodes, degrees, channels, channels): as ``forecast_slope`` and ``forecast_error``, for places of several
    relative spreads of the emulator's members (``local_error.py``); None where nobody has measured it."""
    inflation: InflationFactor | None = None
    """On the variance that ``analysis_inflation`` adds; None where nobody has measured it."""
    states_error: FloatArray | None = None
    states_local_error: FloatArray | None = None
    """What ``forecast_error`` and ``local_error`` are in normalised anomalies, where the prior's variables are not
    those."""
    small_scales: FloatArray | None = None
    """(channels, nlat): factor on the standard deviation that the prior's covariance gives normalised anomalies of
    degrees beyond the forecast's (``small_scales.py``); None where nobody has measured it."""
    seasonal_variance: FloatArray | None = None
    """(4, channels, h, w): cosine and sine of one and two cycles a year, of the anomalies' variance over the year's, on
    the emulator's grid; None where nobody has measured it."""
    zonal_variance: FloatArray | None = None
    """(channels, zonal degrees): how far the zonal means of the bundle's own world depart from its climatology, beyond
    what the prior's covariance says (``zonal_basis``, mean squares); None where nobody has measured it."""
    error_tails: FloatArray | None = None
    """(channels,): standard deviation of the logarithm of errors' size around what is expected (``tails.py``); None
    where nobody has measured it."""

    @cached_property
    def digest(self) -> str:
        """sha256 over the bundle's files, in their fixed order."""
        total = hashlib.sha256()
        for name in FILES:
            total.update(hashlib.sha256((self.path / name).read_bytes()).digest())
        return total.hexdigest()

    @property
    def anomaly_error(self) -> FloatArray:
        """(degrees, channels, channels): the forecast's error covariance in normalised anomalies."""
        return self.forecast_error if self.states_error is None else self.states_error

    @property
    def local_anomaly_error(self) -> FloatArray | None:
        """(nodes, degrees, channels, channels): the same of places."""
        return self.local_error if self.states_local_error is None else self.states_local_error

    def variance(self, time: datetime) -> FloatArray:
        """(channels, h, w): of the date's anomalies, over that of the whole year, on the emulator's grid."""
        if self.seasonal_variance is None:
            return np.ones((len(self.channels), *self.coarse.shape), np.float32)
        value = 1 + np.tensordot(season_basis(time)[1:], self.seasonal_variance, 1)
        return np.asarray(value.clip(1 / LARGEST_SEASON, LARGEST_SEASON), dtype=np.float32)

    def season(self, time: datetime) -> FloatArray:
        """(channels,): the mean of that over the globe."""
        return np.asarray(self.coarse.mean(self.variance(time)), dtype=np.float32)

    def index(self, name: str) -> int:
        """Position of a channel; BundleError when the bundle lacks it."""
        try:
            return [c.name for c in self.channels].index(name)
        except ValueError:
            raise BundleError(f"bundle {self.card.name} has no channel {name}; it has {self.card.channels}") from None


def open_bundle(location: str) -> Bundle:
    """The bundle in a folder, or the shipped one for ``"default"``; BundleError says what is wrong with it."""
    path = DEFAULT if location == "default" else Path(location)
    if not path.is_dir():
        raise BundleError(f"bundle {path.absolute()}: no such folder; set [bundle] path")
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise BundleError(f"bundle {path}: expected the files {', '.join(FILES)}; missing: {', '.join(missing)}")
    try:
        told = tomllib.loads((path / "bundle.toml").read_text())
        if (found := told.get("format", 1)) not in range(FORMAT + 1):
            raise BundleError(f"bundle {path}: format {found}; this program knows {FORMAT}: install the newer one")
        card = Card.model_validate(told)
        channels = tuple(channel(name) for name in card.channels)
    except (OSError, ValidationError, ValueError) as error:
        raise BundleError(f"bundle {path}: bundle.toml is not a model card: {error}") from error
    grid, coarse = gaussian_grid(*card.analysis_grid), gaussian_grid(*card.emulator_grid)
    try:
        file = netCDF4.Dataset(path / "statics.nc")
    except OSError as error:
        raise BundleError(f"bundle {path}: statics.nc cannot be read: {error}") from error
    with file:

        def read(name: str, *shape: int) -> FloatArray:
            if name not in file.variables:
                raise BundleError(f"bundle {path}: statics.nc lacks the variable {name}")
            values = np.ma.filled(file[name][:].astype(np.float32), np.nan)
            expected = tuple(n if n > 0 else m for n, m in zip(shape, values.shape, strict=False))
            if values.shape != expected or not np.isfinite(values).all():
                raise BundleError(f"bundle {path}: {name} must be finite, of shape {shape}; got {values.shape}")
            return np.asarray(values)

        def unpack(name: str, *shape: int) -> FloatArray:
            """16-bit values, scaled per channel (and harmonic) by their largest magnitude."""
            scale = read(f"{name}_scale", *shape[:-2])[..., None, None]
            return read(f"{name}_packed", *shape) * (scale / np.float32(PACKED_MAXIMUM))

        n = len(channels)
        climatology = Climatology(
            unpack("climatology", 5, n, *grid.shape), unpack("standard_deviation", n, *grid.shape)
        )
        statics = read("orography", *grid.shape), read("land", *grid.shape)
        statistics = read("forecast_slope", -1, n, n), read("forecast_error_covariance", -1, n, n)
        known = "analysis_inflation" in file.variables
        inflation = read("analysis_inflation", -1) if known else np.zeros(len(statistics[0]), np.float32)
        m, k = len(statistics[0]), len(NODES)
        by_place = {"local_slope": (k, m, n, n), "local_error_covariance": (k, m, n, n)}
        measured = any(name in file.variables for name in by_place)
        slope, wrong = (read(name, *shape) if measured else None for name, shape in by_place.items())
        followed = "inflation_response" in file.variables
        response = read("inflation_response", n) if followed else np.zeros(n, np.float32)
        usual = Usual(*read("error_level", 2).tolist()) if "error_level" in file.variables else None
        factor = read("local_inflation", k, n) if "local_inflation" in file.variables else None
        tails = read("error_tails", n) if "error_tails" in file.variables else None
        small = read("small_scales", n, grid.shape[0]) if "small_scales" in file.variables else None
        season = read("seasonal_variance", 4, n, *coarse.shape) if "seasonal_variance" in file.variables else None
        zonal = read("zonal_variance", n, -1) if "zonal_variance" in file.variables else None
        shapes = {"states_error_covariance": (m, n, n), "states_local_error_covariance": (k, m, n, n)}
        anomalies, local_anomalies = (
            read(name, *shape) if name in file.variables else None for name, shape in shapes.items()
        )
    return Bundle(
        path,
        card,
        channels,
        grid,
        coarse,
        climatology,
        *statics,
        *statistics,
        inflation,
        local_slope=slope,
        local_error=wrong,
        inflation=None if factor is None else InflationFactor(factor, response, usual),
        states_error=anomalies,
        states_local_error=local_anomalies,
        small_scales=small,
        seasonal_variance=season,
        zonal_variance=zonal,
        error_tails=tails,
    )
