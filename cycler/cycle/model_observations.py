"""Fields of other models that are valid at the analysis time, as ``[[assimilation.model_observations]]`` names them.

A field's error starts from the emulator's statistics (a model is taken to be as good as LUCIE's forecast until
something speaks against it) and is then measured against the soundings of the hour: the factor that makes the variance
of y - H field what its error and the soundings' add up to.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from dacycle.cycler.assimilation.model_term import ModelField
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import ModelObservation
from dacycle.errors import ProductError
from dacycle.obs.batch import ObservationBatch

__all__ = ["model_fields", "weighed"]

BOUNDS = (0.1, 10.0)
FEWEST = 100  # values to measure a model's error with
NORMAL = 0.6745


def model_fields(
    wanted: Sequence[ModelObservation], bundle: Bundle, time: datetime
) -> tuple[list[ModelField], list[str]]:
    """Those that are there and valid at ``time``, ensemble means on the analysis grid; and why others are not."""
    from dacycle.cycler.cycle.initial import to_analysis_grid
    from dacycle.cycler.products.fields import read_fields

    found, problems = [], []
    for one in wanted:
        path = one.at(time)
        try:
            fields = read_fields(path, bundle.channels, time, complete=False)
            values = to_analysis_grid(fields, bundle).mean(0)
        except ProductError as error:
            problems.append(f"model observations: {error}")
            continue
        keep = [k for k, c in enumerate(fields.channels) if c.level_hpa is not None]  # surfaces lie on other ground
        if not keep:
            problems.append(f"model observations: {path} has no channel of the bundle above the ground")
            continue
        index = tuple(bundle.channels.index(fields.channels[k]) for k in keep)
        found.append(ModelField(path.name, index, values[keep]))
    return found, problems


def weighed(field: ModelField, bundle: Bundle, batch: ObservationBatch) -> ModelField:
    """The field with its factor, from the values of ``batch`` still to be assimilated.

    Median of squares over all channels, so that neither a bad sounding nor a bad channel decides.
    """
    from dacycle.cycler.assimilation.fields import observe

    names = [bundle.channels[k].name for k in field.index]
    used = batch.assimilated
    used = used.select(np.isin(used.channel, names))
    if len(used) < FEWEST:
        return field
    full = np.zeros((1, len(bundle.channels), *bundle.grid.shape), np.float32)
    full[0, list(field.index)] = field.values
    departure = used.value - observe(bundle, full, used)[0]
    modes = 2 * np.arange(len(bundle.anomaly_error)) + 1
    error = np.einsum("l,lcc->c", modes, bundle.anomaly_error) / (bundle.grid.shape[0] * bundle.grid.shape[1])
    position = np.array([[c.name for c in bundle.channels].index(name) for name in used.channel.tolist()])
    std = observe(bundle, bundle.climatology.std[None], used)[0]
    own = error[position] * std.astype(np.float64) ** 2
    # The factor at which the median of squared departures over their expectation is that of a normal.
    low, high = np.log(BOUNDS)
    for _ in range(30):
        middle = (low + high) / 2
        square = departure**2 / (used.sigma**2 + np.exp(middle) * own)
        low, high = (middle, high) if np.median(square) > NORMAL**2 else (low, middle)
    return replace(field, factor=float(np.exp((low + high) / 2)))
