"""A made-up nature run on a small grid, in the format of `dacycle simulate`: red noise on the sphere, drifting east."""

from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
import torch

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.spectral import Harmonics

EPOCH = datetime(1990, 1, 1, tzinfo=UTC)
MEANS = {"2t": 285.0, "t850": 275.0, "t500": 250.0, "t250": 225.0, "sp": 98000.0, "q850": 0.006}
MEANS |= {"z850": 1450.0, "z500": 5600.0, "z250": 10400.0}
SPREADS = {"t": 3.0, "u": 5.0, "v": 5.0, "q": 0.001, "z": 50.0, "sp": 600.0}


def write_nature(path: Path, shape: tuple[int, int], start: datetime, days: int, seed: int) -> Path:
    """Six-hourly states of ``days`` days from six hours after ``start`` on."""
    grid, rng = gaussian_grid(*shape), np.random.default_rng(seed)
    degrees = min(shape[0] // 2, 8)
    harmonics = Harmonics(grid, degrees)
    power = torch.as_tensor((1.0 + harmonics.degree.numpy()) ** -1.5)
    frames, n = 4 * days, len(DEFAULT_CHANNELS)
    a = np.zeros((frames, n, degrees**2))
    a[0] = rng.normal(size=a.shape[1:])
    for k in range(1, frames):
        a[k] = 0.97 * a[k - 1] + np.sqrt(1 - 0.97**2) * rng.normal(size=a.shape[1:])
    fields = harmonics.synthesise(torch.as_tensor(a, dtype=torch.float32) * power.float()).numpy()
    fields /= fields.std((0, 2, 3), keepdims=True)
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"title": "made up for a test", "source": "made up for a test"})
        for name, size in (("time", None), ("lat", shape[0]), ("lon", shape[1])):
            file.createDimension(name, size)
        for name, values in (("lat", grid.lat), ("lon", grid.lon)):
            file.createVariable(name, "f8", (name,))[:] = values
        hours = (start - EPOCH).total_seconds() / 3600 + 6.0 * np.arange(1, frames + 1)
        file.createVariable("time", "f8", ("time",))[:] = hours
        file["time"].units = f"hours since {EPOCH:%Y-%m-%d %H:%M:%S}"
        land = (np.sin(np.deg2rad(grid.lon))[None] + np.sin(np.deg2rad(grid.lat))[:, None] > 0.3).astype(np.float32)
        for name, values in (("orography", 200.0 * land), ("land", land)):
            file.createVariable(name, "f4", ("lat", "lon"))[:] = values
        for k, channel in enumerate(DEFAULT_CHANNELS):
            spread, mean = SPREADS[channel.variable], MEANS.get(channel.name, 0.0)
            _pack(file, channel.netcdf_name, mean + spread * fields[:, k], mean, spread / 3000.0)
        _pack(file, "tp", np.maximum(3e-5 * fields[:, 7], 0.0), 0.03, 1e-6)
    return path


def _pack(file: netCDF4.Dataset, name: str, values: np.ndarray, offset: float, step: float) -> None:
    variable = file.createVariable(name, "i2", ("time", "lat", "lon"), zlib=True)
    variable.setncatts({"add_offset": offset, "scale_factor": step})
    variable[:] = values
