"""Probabilities that a field lies above or below a threshold, as the share of the members that do."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from dacycle.cycler.products.derived import any_channel

__all__ = ["Comparison", "Threshold", "probability"]

Comparison = Literal["above", "below"]


@dataclass(frozen=True)
class Threshold:
    """``value`` is in the units of the channel of that name."""

    channel: str
    comparison: Comparison
    value: float

    @property
    def netcdf_name(self) -> str:
        """A variable's name: ``ws10_above_17p2``, ``t2m_below_m5``."""
        number = f"{self.value:.10g}".replace("-", "m").replace(".", "p").replace("+", "")
        return f"{any_channel(self.channel).netcdf_name}_{self.comparison}_{number}"


def probability(values: npt.NDArray[np.floating], threshold: float, comparison: Comparison) -> npt.NDArray[np.float32]:
    """Per cent of the members that lie ``above`` or ``below`` the threshold, strictly: (..., nlat, nlon)."""
    chosen = values > threshold if comparison == "above" else values < threshold
    return np.asarray(100.0 * chosen.mean(0), dtype=np.float32)
