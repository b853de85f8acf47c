"""The climate's covariance as a bundle keeps it, for those who need its numbers and no network."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from dacycle.errors import BundleError

__all__ = ["climate"]

FloatArray = npt.NDArray[np.float64]


@lru_cache(maxsize=2)
def climate(path: Path) -> tuple[FloatArray, FloatArray]:
    """Covariance (degrees, channels, channels) of scaled coefficients of normalised anomalies, and the white rest
    (channels,) of the Gaussian prior of the bundle in ``path``."""
    try:
        with safe_open(path / "prior.safetensors", framework="numpy") as file:
            covariance = file.get_tensor("gaussian.covariance").astype(np.float64)
            has_rest = "gaussian.rest" in file.keys()  # noqa: SIM118  (no mapping)
            rest = file.get_tensor("gaussian.rest").astype(np.float64) if has_rest else np.zeros(covariance.shape[1])
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path / 'prior.safetensors'}: expected a safetensors file of the prior; {error}") from error
    return covariance, rest
