"""A bundle with another emulator or another prior, all else as it was.

With another emulator, what its forecasts are wrong by can be measured anew. Errors by place are taken to have changed
as those of the whole globe did, degree by degree and channel by channel: where a forecast is good relative to others
(``assimilation/local_error.py``) has little to do with how good it is.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.prior import load_prior
from dacycle.cycler.bundle import Bundle, NetworkCard, open_bundle
from dacycle.cycler.training.anomalies import Anomalies, as_array
from dacycle.cycler.training.bundle import FloatArray, copy_bundle, write_card, write_measured, write_prior
from dacycle.cycler.training.calibrate import calibrate
from dacycle.cycler.training.dataset import Dataset
from dacycle.cycler.training.forecast_error import ForecastStatistics
from dacycle.emulators.registry import load_emulator
from dacycle.errors import BundleError

__all__ = ["changed", "exchange", "exchange_prior", "measure_errors"]

LARGEST_CHANGE = 4.0  # of an error variance, either way


def exchange(bundle: Bundle, target: Path, emulator: NetworkCard, weights: Path, card: dict[str, Any]) -> Bundle:
    """A copy of ``bundle`` in ``target`` with the emulator of ``weights``; ``card``: what else its card says.

    BundleError where the emulator does not fit the bundle's channels and grid.
    """
    copy_bundle(bundle, target, None, {})
    shutil.copyfile(weights, target / "emulator.safetensors")
    write_card(target / "bundle.toml", bundle.card.model_copy(update={**card, "emulator": emulator}))
    made = open_bundle(str(target))
    load_emulator(made)
    return made


def exchange_prior(
    bundle: Bundle, target: Path, network: NetworkCard, weights: Mapping[str, Tensor], card: dict[str, Any], anew: bool
) -> Bundle:
    """A copy of ``bundle`` in ``target`` with the prior of ``weights``; ``card``: what else its card says. ``anew``:
    errors are measured next, beginning with those of the bundle.

    BundleError where the prior knows other variables than the bundle's: its error statistics would mean nothing there.
    """
    own = load_prior(bundle).state_dict()
    for name in sorted(key for key in own if key.startswith(("gaussian.", "balance.")) and not anew):
        if name not in weights or not torch.allclose(own[name], weights[name], rtol=1e-3, atol=1e-6):
            expected = f"expected a prior trained under the climate of {bundle.path}, or --truth to measure errors anew"
            raise BundleError(f"{expected}; its {name} is another one")
    copy_bundle(bundle, target, None, {})
    write_prior(target, weights)
    write_card(target / "bundle.toml", bundle.card.model_copy(update={**card, "prior": network}))
    made = open_bundle(str(target))
    load_prior(made)
    return made


def measure_errors(
    bundle: Bundle, truths: Sequence[Dataset], days: float, members: int, sites: int, progress: Callable[[str], None]
) -> Bundle:
    """Put what the emulator's forecasts are wrong by into the files of ``bundle``, from cycling over ``truths``."""
    found = calibrate(bundle, truths, days, members, progress, sites)
    measured = changed(bundle, found.statistics)
    of_anomalies = Anomalies(load_prior(bundle), len(bundle.forecast_error))
    if (states := as_array(of_anomalies(found.statistics.covariance))) is not None:
        measured["states_error_covariance"] = states
    local = torch.as_tensor(measured.get("local_error_covariance", []))  # none where nobody has measured it
    if (states := as_array(of_anomalies.of_nodes(local))) is not None:
        measured["states_local_error_covariance"] = states
    write_measured(bundle.path / "statics.nc", **measured)
    share = round(found.share, 4)
    progress(f"forecasts leave {share} of the climatological variance unknown")
    scores = {**bundle.card.scores, "forecast_error_share": share, "forecast_error_days": days}
    write_card(bundle.path / "bundle.toml", bundle.card.model_copy(update={"scores": scores}))
    return open_bundle(str(bundle.path))


def changed(bundle: Bundle, found: ForecastStatistics) -> dict[str, FloatArray]:
    """The statistics of the whole globe, ``found``, and those by place that go with them, by their names in
    ``statics.nc``."""
    slope, error = found.slope.numpy(), found.covariance.numpy()
    measured = {"forecast_slope": slope, "forecast_error_covariance": error}
    if bundle.local_error is not None and bundle.local_slope is not None:
        old, new = (np.einsum("lcc->lc", covariance) for covariance in (bundle.forecast_error, error))
        root = np.sqrt(np.clip(new / old, 1 / LARGEST_CHANGE, LARGEST_CHANGE))
        measured["local_error_covariance"] = bundle.local_error * root[..., None] * root[..., None, :]
        measured["local_slope"] = bundle.local_slope + slope - bundle.forecast_slope
    return {name: np.asarray(values, np.float32) for name, values in measured.items()}
