"""Writing a model bundle: statics, weights and card, each atomically enough to be copied as a folder."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
import tomli_w
from safetensors.torch import save_file
from torch import Tensor

from dacycle.channels import Channel, channel
from dacycle.cycler.bundle import FILES, PACKED_MAXIMUM, Bundle, Card
from dacycle.emulators.grid import Grid

__all__ = ["Statics", "copy_bundle", "write_bundle", "write_card", "write_measured", "write_prior", "write_statics"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Statics:
    """What ``statics.nc`` holds; shapes as in ``cycler.bundle``."""

    climatology: FloatArray
    std: FloatArray
    orography: FloatArray
    land: FloatArray
    forecast_slope: FloatArray
    forecast_error: FloatArray
    analysis_inflation: FloatArray


def write_bundle(
    folder: Path, card: Card, statics: Statics, prior: Mapping[str, Tensor], emulator: Mapping[str, Tensor], grid: Grid
) -> None:
    """Write the four files of a bundle into ``folder``; ``prior`` and ``emulator`` are state dictionaries."""
    folder.mkdir(parents=True, exist_ok=True)
    write_statics(folder / "statics.nc", statics, [channel(name) for name in card.channels], grid)
    write_prior(folder, prior)
    save_file({key: value.detach().contiguous() for key, value in emulator.items()}, folder / "emulator.safetensors")
    write_card(folder / "bundle.toml", card)


def write_prior(folder: Path, prior: Mapping[str, Tensor]) -> None:
    """``prior.safetensors``, from a state dictionary."""
    save_file({key: _compact(key, value) for key, value in prior.items()}, folder / "prior.safetensors")


def write_card(path: Path, card: Card) -> None:
    """``bundle.toml``."""
    path.write_text(tomli_w.dumps(_told(card.model_dump())))


def copy_bundle(bundle: Bundle, target: Path, version: str | None, scores: Mapping[str, object]) -> Path:
    """``target``, a folder with the files of ``bundle``; its card has a new version, and ``scores`` besides its own."""
    target.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copyfile(bundle.path / name, target / name)
    update = {"scores": {**bundle.card.scores, **scores}, "version": version or bundle.card.version}
    write_card(target / "bundle.toml", bundle.card.model_copy(update=update))
    return target


MEASURED = {
    "local_inflation": ("node", "channel"),
    "inflation_response": ("channel",),
    "error_level": ("usual",),
    "error_tails": ("channel",),
    "small_scales": ("channel", "lat"),
    "seasonal_variance": ("season", "channel", "coarse_lat", "coarse_lon"),
    "zonal_variance": ("channel", "zonal_degree"),
    "states_error_covariance": ("degree", "channel", "channel_column"),
    "states_local_error_covariance": ("node", "degree", "channel", "channel_column"),
    "local_slope": ("node", "degree", "channel", "channel_column"),
    "local_error_covariance": ("node", "degree", "channel", "channel_column"),
}
"""Statistics that are measured by cycling with a bundle that is there already, and their dimensions."""


def write_measured(path: Path, **statistics: FloatArray) -> None:
    """Put MEASURED statistics into the ``statics.nc`` that is there; all else stays."""
    with netCDF4.Dataset(path, "r+") as file:
        for name, values in statistics.items():
            if name not in file.variables:
                for dimension, size in zip(MEASURED[name], values.shape, strict=True):
                    if dimension not in file.dimensions:
                        file.createDimension(dimension, size)
                file.createVariable(name, "f4", MEASURED[name], zlib=True)
            file[name][:] = values


def _compact(name: str, weights: Tensor) -> Tensor:
    """16 bits for the prior's network, which runs in bfloat16, and for the balance, which was fitted in as many: they
    lose nothing there and halve the file."""
    half = name.startswith(("network.", "balance.")) and weights.is_floating_point()
    return (weights.half() if half else weights).detach().contiguous()


def _told(content: Any) -> Any:
    """TOML knows no null: what is not known is left out."""
    if isinstance(content, dict):
        return {key: _told(value) for key, value in content.items() if value is not None}
    return [_told(value) for value in content] if isinstance(content, list | tuple) else content


def write_statics(path: Path, statics: Statics, channels: Sequence[Channel], grid: Grid) -> None:
    """``statics.nc``: 16-bit packed fields of the climatology, float32 for the rest; compressed."""
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"Conventions": "CF-1.11", "title": "Statics of a dacycle model bundle"})
        sizes = {"harmonic": 5, "channel": len(channels), "lat": grid.shape[0], "lon": grid.shape[1]}
        for name, size in {**sizes, "degree": statics.forecast_error.shape[0]}.items():
            file.createDimension(name, size)
        file.createDimension("channel_column", len(channels))
        for name, axis, units in (("lat", grid.lat, "degrees_north"), ("lon", grid.lon, "degrees_east")):
            file.createVariable(name, "f8", (name,))[:] = axis
            file[name].units = units
        names = file.createVariable("channel_name", str, ("channel",))
        for k, c in enumerate(channels):
            names[k] = c.name
        _packed(file, "climatology", ("harmonic", "channel", "lat", "lon"), statics.climatology)
        _packed(file, "standard_deviation", ("channel", "lat", "lon"), statics.std)
        for name, values in (("orography", statics.orography), ("land", statics.land)):
            file.createVariable(name, "f4", ("lat", "lon"), zlib=True)[:] = values
        dimensions = ("degree", "channel", "channel_column")
        statistics = {"slope": statics.forecast_slope, "error_covariance": statics.forecast_error}
        for name, values in statistics.items():
            file.createVariable(f"forecast_{name}", "f4", dimensions, zlib=True)[:] = values
        file.createVariable("analysis_inflation", "f4", ("degree",))[:] = statics.analysis_inflation


def _packed(file: netCDF4.Dataset, name: str, dimensions: tuple[str, ...], values: FloatArray) -> None:
    """One variable per channel would hide that they belong together; one packing for all would lose humidity.

    So the values are divided by each channel's (and harmonic's) largest magnitude, kept in ``<name>_scale``.
    """
    scale = np.abs(values).max((-2, -1), keepdims=True).clip(1e-12)
    packed = file.createVariable(f"{name}_packed", "i2", dimensions, zlib=True, complevel=9, shuffle=True)
    packed.set_auto_maskandscale(False)
    packed[:] = np.round(values / scale * PACKED_MAXIMUM).astype(np.int16)
    file.createVariable(f"{name}_scale", "f4", dimensions[:-2])[:] = scale[..., 0, 0]
