"""A nature run that starts from where another, coarser one stands.

The stratosphere needs months to forget a resting, isothermal start, and a month at T85 costs as much as a year at T31:
spinning up coarsely, and then for some weeks on the fine grid, leaves more of the budget for output.

Spectral coefficients beyond the donor's truncation begin at zero. Mountains are higher on the finer grid: surface
pressure follows them in the standard atmosphere (ICAO Doc 7488), and the mean over the globe, the mass, is kept.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.assimilation.fields import regrid
from dacycle.cycler.training.nature import open_nature
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import SourceError

__all__ = ["Donor", "open_donor", "pressure_on", "refined"]

Field = npt.NDArray[np.float64]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STANDARD_TEMPERATURE = 288.15  # K at sea level
STANDARD_LAPSE = 0.0065  # K m-1
STANDARD_EXPONENT = 5.2559  # g / (R lapse)


@dataclass(frozen=True)
class Donor:
    """The last state of a nature run: spectral coefficients by jcm's names, (levels, orders, degrees)."""

    time: datetime
    coefficients: dict[str, npt.NDArray[np.float32]]
    orography: Field
    """(nlat, nlon), m, north to south, on the donor's own grid."""


def open_donor(path: Path) -> Donor:
    """Read the nature run ``path`` and the checkpoint beside it; SourceError where either is not one."""
    from flax.serialization import msgpack_restore

    checkpoint = path.with_suffix(".checkpoint")
    try:
        raw = msgpack_restore(checkpoint.read_bytes())
        clock = raw["clock"]
        time = EPOCH + timedelta(days=int(clock["days"]), seconds=int(clock["seconds"]))
        coefficients = {name: values for name, values in raw["dycore"].items() if np.ndim(values) == 3}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SourceError(f"{checkpoint}: expected the checkpoint of a nature run; {error}") from error
    return Donor(time, coefficients, open_nature(path).orography.astype(np.float64))


def refined(donor: Donor, state: Any, horizontal: Any, orography: Field) -> Any:
    """``state`` (jcm's own kind) with the donor's coefficients, on the finer grid ``horizontal`` (dinosaur's).

    ``orography`` (nlat, nlon), m, north to south, of the finer grid. SourceError where the donor is the finer one.
    """
    shape = tuple(int(n) for n in state.vorticity.shape)
    padded = {}
    for name, values in donor.coefficients.items():
        orders, degrees = shape[1] - values.shape[1], shape[2] - values.shape[2]
        if orders < 0 or degrees < 0 or len(values) not in (1, shape[0]):
            told = f"expected a run of at most {shape} coefficients (levels, orders, degrees)"
            raise SourceError(f"{told} to start from; its {name} has {values.shape}")
        padded[name] = np.pad(values, ((0, 0), (0, orders), (0, degrees)))
    logarithm = np.asarray(horizontal.to_nodal(padded["log_surface_pressure"]), dtype=np.float64)[0].T[::-1]
    grids = gaussian_grid(*donor.orography.shape), gaussian_grid(*orography.shape)
    below = regrid(torch.as_tensor(donor.orography), *grids).numpy()
    pressure = pressure_on(np.exp(logarithm), below, orography)
    padded["log_surface_pressure"] = np.asarray(horizontal.to_modal(np.log(pressure)[::-1].T[None]))
    tracers = {name: padded.get(f"tracers.{name}", values) for name, values in state.tracers.items()}
    fields = ("vorticity", "divergence", "temperature_variation", "log_surface_pressure")
    return state.replace(**{name: padded[name] for name in fields}, tracers=tracers)


def pressure_on(pressure: Field, below: Field, orography: Field) -> Field:
    """Surface pressure moved from the height ``below`` to ``orography`` (m), its mean over the sphere kept.

    All (nlat, nlon) on a Gaussian grid, in any unit of pressure.
    """
    weights = gaussian_grid(*pressure.shape).weights[:, None]
    ratio = (STANDARD_TEMPERATURE - STANDARD_LAPSE * orography) / (STANDARD_TEMPERATURE - STANDARD_LAPSE * below)
    moved = pressure * ratio**STANDARD_EXPONENT
    kept: Field = moved * ((pressure * weights).sum() / (moved * weights).sum())
    return kept
