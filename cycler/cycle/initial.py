"""The state that the first cycle's background starts from, where there is no analysis before it: a field file.

Our own product, or a GRIB or netCDF file of another centre on any global latitude-longitude grid. Surface values move
from that model's ground to ours; channels that the file lacks are what the prior expects, given those that it has.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dacycle.cycler.bundle import Bundle
from dacycle.errors import ProductError

if TYPE_CHECKING:
    from dacycle.cycler.cycle.task import Task
    from dacycle.cycler.products.fields import FieldSet

__all__ = ["Initial", "open_initial", "to_analysis_grid"]

FloatArray = npt.NDArray[np.float32]
OLDEST = timedelta(days=5)
STEP_HOURS = 6
"""A start must lie whole steps of the emulator before the cycle; all that are registered divide six hours."""


@dataclass(frozen=True)
class Initial:
    """A file, and which of its valid times counts."""

    path: Path
    sha256: str
    time: datetime

    def states(self, task: "Task") -> FloatArray:
        """(members, channels, h, w) on the emulator's grid, as many members as the file has."""
        from dacycle.cycler.assimilation.fields import coarsen
        from dacycle.cycler.products.fields import read_fields

        bundle = task.bundle
        fields = read_fields(self.path, bundle.channels, self.time, complete=False)
        states = to_analysis_grid(fields, bundle)
        known = [bundle.channels.index(channel) for channel in fields.channels]
        if len(known) < len(bundle.channels):
            states = _completed(task, states, known, self.time)
        return coarsen(bundle, states)


def open_initial(path: Path, bundle: Bundle, time: datetime) -> Initial:
    """The file's newest fields from which an emulator can reach ``time``; ProductError where it has none."""
    from dacycle.cycler.products.atomic import describe
    from dacycle.cycler.products.fields import valid_times

    times = valid_times(path, bundle.channels)
    steps = timedelta(hours=STEP_HOURS)
    usable = [t for t in times if timedelta(0) <= time - t <= OLDEST and (time - t) % steps == timedelta(0)]
    if not usable:
        raise ProductError(
            f"[cycle] initial {path}: expected fields valid whole steps of {STEP_HOURS} hours and at most "
            f"{OLDEST.days} days before the first cycle, {time:%Y-%m-%dT%H}; it has {times[0]:%Y-%m-%dT%H} to "
            f"{times[-1]:%Y-%m-%dT%H}"
        )
    return Initial(path, describe(path).sha256, usable[-1])


def to_analysis_grid(fields: "FieldSet", bundle: Bundle) -> FloatArray:
    """The fields' values (members, their channels, nlat, nlon) on the bundle's analysis grid.

    Pressure and temperature at the surface move from the other model's ground to the bundle's, where the file tells
    that ground; ProductError for fields that do not cover the globe.
    """
    from dacycle.emulators.remap import remap
    from dacycle.obs.elevation import LAPSE_RATE, pressure_ratio

    try:
        values = remap(fields.values, fields.lat, fields.lon, bundle.grid)
    except ValueError as error:
        raise ProductError(f"fields of {fields.time:%Y-%m-%dT%H}: {error}") from error
    names = [channel.name for channel in fields.channels]
    if fields.orography is None or "2t" not in names:
        return values
    rise = bundle.orography - remap(fields.orography, fields.lat, fields.lon, bundle.grid)
    warm = values[:, names.index("2t")].copy()
    if "sp" in names:
        values[:, names.index("sp")] *= pressure_ratio(warm.astype(np.float64), rise.astype(np.float64))
    values[:, names.index("2t")] = warm - LAPSE_RATE * rise
    return values


def _completed(task: "Task", states: FloatArray, known: list[int], time: datetime) -> FloatArray:
    """All channels (members, channels, nlat, nlon): E[x | the known ones] under the Gaussian prior, per degree.

    a_u = C_uk (C_kk + r)^-1 a_k in normalised anomalies, with the prior's white rest r as the known ones' error.
    """
    import torch

    bundle, prior = task.bundle, task.models.analyst.prior.climate
    mean, std = bundle.climatology.mean(time), bundle.climatology.std
    anomaly = (states - mean[known]) / std[known]
    with torch.no_grad():
        c = prior.covariance.double().cpu()
        rest = torch.diag(prior.rest.double().cpu()[known])
        regression = torch.linalg.solve(c[:, known][:, :, known] + rest, c[:, known]).transpose(1, 2).float()
        a = prior.analyse(torch.as_tensor(anomaly, device=prior.rest.device)).cpu()
        expected = torch.einsum("kuc,nck->nuk", regression[prior.harmonics.degree.cpu()], a)
        whole = prior.synthesise(expected.to(prior.rest.device)).cpu().numpy()
    whole[:, known] = anomaly
    return np.asarray(mean + std * whole, np.float32)
