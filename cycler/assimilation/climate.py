"""The climate's covariance as a bundle keeps it, for those who need its numbers and no network."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.smoothing import Smoothing
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import BundleError

__all__ = ["Climate", "balance_of", "climate"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Climate:
    """``covariance`` (degrees, channels, channels) of scaled coefficients of normalised anomalies, and the white
    ``rest`` (channels,); ``of_variables``: the covariance of the prior's variables, where these are others."""

    covariance: FloatArray
    rest: FloatArray
    of_variables: FloatArray


@lru_cache(maxsize=2)
def climate(path: Path) -> Climate:
    """Of the Gaussian prior of the bundle in ``path``."""
    told = _read(path, ("gaussian.covariance", "gaussian.rest", "states.covariance", "states.rest"))
    variables = told["gaussian.covariance"]
    rest = told.get("gaussian.rest", np.zeros(variables.shape[1]))
    return Climate(told.get("states.covariance", variables), told.get("states.rest", rest), variables)


def balance_of(bundle: Bundle) -> Balance | None:
    """Between normalised anomalies and the prior's variables; None where they are the same."""
    parts = _of_balance(bundle.path, bundle.grid.shape)
    return None if parts is None else Balance([c.name for c in bundle.channels], bundle.climatology.std, *parts)


@lru_cache(maxsize=2)
def _of_balance(path: Path, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Smoothing | None] | None:
    """Coefficients, spread and smoothing of a prior that has a balance."""
    names = ("balance.coefficients", "balance.spread", "balance.smoothing.kept")
    told = {name: torch.as_tensor(each).float() for name, each in _read(path, names).items()}
    if names[0] not in told:
        return None
    kept = told.get(names[2])
    return told[names[0]], told[names[1]], None if kept is None else Smoothing(gaussian_grid(*shape), kept)


def _read(path: Path, names: tuple[str, ...]) -> dict[str, FloatArray]:
    """Those of the tensors that are there."""
    try:
        with safe_open(path / "prior.safetensors", framework="numpy") as file:
            there = set(file.keys())
            return {name: file.get_tensor(name).astype(np.float64) for name in names if name in there}
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path / 'prior.safetensors'}: expected a safetensors file of the prior; {error}") from error
