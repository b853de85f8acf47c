"""Nature runs of the simulated world: jcm (JAX, SPEEDY physics) -> six-hourly fields in compact netCDF.

The optional extra ``simulate`` brings jcm. Settings seen to work: truncation 85 with 15-minute steps and a third
of the default diffusion time scales gives realistic jets and fronts on the 128x256 Gaussian grid.

Limits, to be repeated wherever a score of this world is shown: no diurnal cycle (daily-mean insolation),
climatological sea-surface and land temperature, eight levels. The boundary data of jcm derive from ERA-Interim.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.training.branch import open_donor, refined

__all__ = ["GRIDS", "NatureRun", "choose_device", "create", "simulate"]

Field = npt.NDArray[np.float64]

GRAVITY = 9.80665  # m s-2
GAS_CONSTANT_DRY = 287.05  # J kg-1 K-1
LAPSE_RATE = 0.0065  # K m-1, for extrapolation below the lowest model level
SPIN_UP_CHUNK_DAYS = 5.0
OUTPUT_STEP = timedelta(hours=6)
EPOCH = datetime(1990, 1, 1, tzinfo=UTC)
# jcm starts with a global-mean surface pressure of 1002 hPa; the observed dry-plus-moist mass gives 985 hPa.
INITIAL_PRESSURE_FACTOR = 0.983
# The T63 boundary file clamps sea-surface temperature at the freezing point under ice, where SPEEDY wants the
# temperature of the ice surface, as its T30 file has it.
ICE_SURFACE_RANGE = (228.0, 271.35)

GRIDS: dict[int, tuple[float, float, str]] = {
    31: (30.0, 1.0, "t30/clim"),
    42: (20.0, 0.6667, "t63"),
    85: (15.0, 0.3333, "t63"),
}
"""Truncation -> (time step in minutes, factor on jcm's diffusion time scales, boundary data)."""

_PACKING: dict[str, tuple[float, float]] = {
    "t": (250.0, 0.005),
    "u": (0.0, 0.005),
    "v": (0.0, 0.005),
    "q": (0.016, 5e-7),
    "sp": (80000.0, 2.0),
    "z850": (1300.0, 0.1),
    "z500": (5400.0, 0.1),
    "z250": (10200.0, 0.1),
    "tp": (0.03, 1e-6),
}
"""Variable or channel -> (offset, step) of the 16-bit packing; the step is far below any observation error."""


@dataclass(frozen=True)
class NatureRun:
    """What is simulated. ``days`` of output follow ``spinup_days`` after ``start``."""

    truncation: int
    seed: int
    start: datetime
    spinup_days: int
    days: int
    initial: Path | None = None
    """Another nature run, of the same truncation or a coarser one, from whose last state this one starts."""

    def __post_init__(self) -> None:
        if self.truncation not in GRIDS:
            raise ValueError(f"truncation {self.truncation} is not known; expected one of {sorted(GRIDS)}")


def simulate(run: NatureRun, out: Path, progress: Callable[[str, float], None]) -> None:
    """Integrate and write ``out`` (netCDF, latitude from north to south); an interrupted run goes on where it stopped.

    A checkpoint beside ``out`` is written after every chunk of output; ``progress(text, fraction)`` is called as
    often. Raises FloatingPointError when the integration blows up.
    """
    # jcm is an optional extra and takes seconds to import, so only those who simulate pay for it.
    from jcm.checkpoint import load_checkpoint, save_checkpoint

    model, forcing, first_state = _build(run)
    checkpoint = out.with_suffix(".checkpoint")
    chunk = 2.5 if run.truncation >= 85 else 10.0
    total = run.spinup_days + run.days
    if checkpoint.exists():
        model.bootstrap_state(first_state)
        elapsed = load_checkpoint(model, checkpoint)
    else:
        elapsed = 0.0
        if run.initial is not None:
            donor = open_donor(run.initial)
            first_state = refined(donor, first_state, model.coords.horizontal, _spectral_orography(model))
    while elapsed < total - 1e-6:
        spinning = elapsed < run.spinup_days - 1e-6
        length = min(SPIN_UP_CHUNK_DAYS if spinning else chunk, (run.spinup_days if spinning else total) - elapsed)
        interval = length if spinning else OUTPUT_STEP / timedelta(days=1)
        arguments = {"forcing": forcing, "save_interval": interval, "total_time": length}
        state = model.run(initial_state=first_state, **arguments) if elapsed == 0 else model.resume(**arguments)
        if not spinning:
            _append(out, run, model, state, first_step=round((elapsed - run.spinup_days) * 4), start_days=elapsed)
        elapsed += length
        save_checkpoint(model, checkpoint)
        progress(f"{run.start + timedelta(days=elapsed):%Y-%m-%d} {'spin-up' if spinning else ''}", elapsed / total)


def _build(run: NatureRun) -> tuple[Any, Any, Any]:
    """The jcm model, its boundary forcing and the perturbed initial state of ``run.seed``."""
    import jax.numpy as jnp
    import jcm
    import xarray as xr
    from jcm.diffusion import DiffusionFilter
    from jcm.dycore.dinosaur.dycore import DinosaurDycore
    from jcm.forcing import ForcingData
    from jcm.model import Model
    from jcm.physics.speedy.speedy_coords import get_speedy_coords
    from jcm.terrain import TerrainData

    minutes, diffusion, boundary = GRIDS[run.truncation]
    folder = Path(jcm.__file__).parent / "data" / "bc" / boundary
    coordinates = get_speedy_coords(layers=8, spectral_truncation=run.truncation)
    terrain = TerrainData.from_file(str(folder / "terrain.nc"), coordinates)
    source = xr.open_dataset(folder / "forcing.nc").load()
    if boundary == "t63":
        ice = source.icec.clip(0, 1).where(source.lsm < 0.5, 0.0)
        surface = (1 - ice) * source.sst + ice * source.stl.clip(*ICE_SURFACE_RANGE)
        source["sst"] = surface.transpose("lon", "lat", "time").astype("float32")
    forcing = ForcingData.from_dataset(source, coords=coordinates, align_mode="wrap_year")
    dycore = DinosaurDycore(coordinates, terrain, minutes * 60.0, diffusion=DiffusionFilter.default().scaled(diffusion))
    model = Model(dycore, terrain=terrain, start_time=run.start.strftime("%Y-%m-%d"))
    state = model.initial_state(random_seed=run.seed)
    grid = coordinates.horizontal
    pressure = grid.to_nodal(state.log_surface_pressure) + jnp.log(INITIAL_PRESSURE_FACTOR)
    return model, forcing, state.replace(log_surface_pressure=grid.to_modal(pressure))


def _append(out: Path, run: NatureRun, model: Any, state: Any, first_step: int, start_days: float) -> None:
    """Write the six-hourly states after ``start_days`` at index ``first_step``; a repeated chunk overwrites itself."""
    fields = _diagnose(model, state)
    if not all(np.isfinite(values).all() for values in fields.values()):
        raise FloatingPointError(f"the nature run {run} blew up within {SPIN_UP_CHUNK_DAYS} days of day {start_days}")
    new = not out.exists()
    with netCDF4.Dataset(out, "w" if new else "r+") as file:
        if new:
            grid = model.coords.horizontal
            latitude, longitude = (np.rad2deg(np.asarray(axis)) for axis in (grid.latitudes, grid.longitudes))
            land = np.asarray(model.terrain.fmask).T[::-1]
            create(file, run, latitude[::-1], longitude, _spectral_orography(model), land)
        steps = len(fields["sp"])
        times = run.start + timedelta(days=start_days) - EPOCH
        file["time"][first_step : first_step + steps] = times / timedelta(hours=1) + 6.0 * np.arange(1, steps + 1)
        for name, values in fields.items():
            offset, scale = _packing(name)
            limit = 32760 * scale
            file[name][first_step : first_step + steps] = np.clip(values, offset - limit, offset + limit)


def _packing(name: str) -> tuple[float, float]:
    by_netcdf_name = {c.netcdf_name: c for c in DEFAULT_CHANNELS}
    if name == "tp":
        return _PACKING["tp"]
    found = by_netcdf_name[name]
    return _PACKING[found.name] if found.name in _PACKING else _PACKING[found.variable]


def create(
    file: netCDF4.Dataset, run: NatureRun, latitude: Field, longitude: Field, orography: Field, land: Field
) -> None:
    """Dimensions, variables and CF attributes of a nature run, north to south; the statics are written."""
    file.setncatts(
        {
            "Conventions": "CF-1.11",
            "title": f"Simulated atmosphere: jcm SPEEDY T{run.truncation}L8, seed {run.seed}, six-hourly states",
            "source": "jcm (JAX-GCM, Apache-2.0); boundary data derived from ERA-Interim; climatological SST",
            "seed": run.seed,
            "truncation": run.truncation,
            "spin_up": f"{run.spinup_days} days from {f'the end of {run.initial.name}' if run.initial else 'rest'}",
            "comment": "A simulated world: no diurnal cycle, climatological surface temperatures, eight levels.",
        }
    )
    for name, values in (("time", None), ("lat", latitude), ("lon", longitude)):
        file.createDimension(name, None if values is None else len(values))
        variable = file.createVariable(name, "f8", (name,))
        if values is not None:
            variable[:] = values
    file["lat"].setncatts({"units": "degrees_north", "standard_name": "latitude", "axis": "Y"})
    file["lon"].setncatts({"units": "degrees_east", "standard_name": "longitude", "axis": "X"})
    units = f"hours since {EPOCH:%Y-%m-%d %H:%M:%S}"
    file["time"].setncatts({"units": units, "calendar": "standard", "standard_name": "time", "axis": "T"})
    for name, values in (("orography", orography), ("land", land)):
        file.createVariable(name, "f4", ("lat", "lon"), zlib=True)[:] = values
    file["orography"].setncatts({"units": "m", "standard_name": "surface_altitude"})
    file["land"].setncatts({"units": "1", "standard_name": "land_area_fraction"})
    told = [(c.netcdf_name, c.units, c.long_name, c.standard_name) for c in DEFAULT_CHANNELS]
    for name, units, long_name, standard in [*told, ("tp", "kg m-2 s-1", "precipitation rate", "precipitation_flux")]:
        offset, scale = _packing(name)
        chunks = (1, len(latitude), len(longitude))
        variable = file.createVariable(name, "i2", ("time", "lat", "lon"), zlib=True, complevel=3, chunksizes=chunks)
        variable.setncatts({"add_offset": offset, "scale_factor": scale, "units": units})
        variable.setncatts({"long_name": long_name, "standard_name": standard})


def _spectral_orography(model: Any) -> Field:
    """The orography that the dynamics sees (m, north to south), with which pressure is to be reduced."""
    from dinosaur import scales

    dycore = model.dycore
    metre = float(dycore._physics_specs.dimensionalize(1.0, scales.units.m).m)
    nodal = model.coords.horizontal.to_nodal(dycore._truncated_orography)
    return np.asarray(nodal, dtype=np.float64).T[::-1] * metre


def _diagnose(model: Any, state: Any) -> dict[str, Field]:
    """Channels and precipitation of the saved states, each (time, lat, lon), north to south, in the channel's units."""

    def north_first(values: Any) -> Field:
        return np.swapaxes(np.asarray(values, dtype=np.float64), -1, -2)[..., ::-1, :]

    dynamics, surface = state.dynamics, state.physics["_surface_flux"]
    pressure = north_first(dynamics.normalized_surface_pressure) * 1e5
    sigma = np.asarray(model.coords.vertical.centers)
    log_pressure = np.log(sigma)[None, :, None, None] + np.log(pressure)[:, None]
    names = ("temperature", "u_wind", "v_wind", "specific_humidity", "geopotential")
    profiles = dict(zip("tuvqz", (north_first(getattr(dynamics, name)) for name in names), strict=True))
    fields = {
        "t2m": north_first(surface.t0),
        "u10": north_first(surface.u0),
        "v10": north_first(surface.v0),
        "sp": pressure,
        "tp": north_first(state.physics["surface_exchange"].precipitation),
    }
    for wanted in DEFAULT_CHANNELS:
        if wanted.level_hpa is not None:
            target = np.log(wanted.level_hpa * 100.0)
            fields[wanted.netcdf_name] = _at_pressure(wanted.variable, profiles, log_pressure, target)
    return fields


def _at_pressure(variable: str, profiles: dict[str, Field], log_pressure: Field, target: float) -> Field:
    """Linear interpolation in ln p (levels top first); below the lowest level a lapse rate of 6.5 K/km for t and z."""
    values = profiles[variable] / GRAVITY if variable == "z" else profiles[variable]
    levels = values.shape[1]
    lower = np.clip((log_pressure < target).sum(1), 1, levels - 1)[:, None]
    upper_p, lower_p = (np.take_along_axis(log_pressure, k, 1)[:, 0] for k in (lower - 1, lower))
    weight = (target - upper_p) / (lower_p - upper_p)
    above, below = (np.take_along_axis(values, k, 1)[:, 0] for k in (lower - 1, lower))
    inside = above + (below - above) * np.clip(weight, 0, 1)
    if variable not in "tz":
        return inside
    lowest_t = profiles["t"][:, -1]
    ratio = np.exp(GAS_CONSTANT_DRY * LAPSE_RATE / GRAVITY * (target - log_pressure[:, -1]))
    if variable == "t":
        return np.where(weight > 1, lowest_t * ratio, inside)
    return np.where(weight > 1, values[:, -1] - lowest_t / LAPSE_RATE * (ratio - 1), inside)


def choose_device(device: str) -> None:
    """``cpu``, ``gpu``, or ``auto``: a GPU where there is one. Call before the first import of jax.

    Naming the platform also keeps jax from printing about absent accelerators.
    """
    if device == "auto":
        os.environ.setdefault("JAX_PLATFORMS", "" if Path("/dev/nvidia0").exists() else "cpu")
    else:
        os.environ["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[device]
