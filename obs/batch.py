"""Point observations of one analysis time, and the code that each value ends in."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ObservationBatch", "Quality"]


class Quality(IntEnum):
    """What became of a value; 0 to 7 as in DART, further reasons named likewise."""

    ASSIMILATED = 0
    EVALUATED_ONLY = 1  # withheld for verification
    OPERATOR_FAILED = 4  # no equivalent in the model, as a level below its ground
    INCOMING_FLAG = 6  # the archive's own quality assurance
    BACKGROUND = 7  # outlier against the background
    GROSS = 20  # outside the physically possible
    DUPLICATE = 21  # the same station, time and channel once more
    VERTICAL = 22  # inconsistent with its own profile: hydrostatic or lapse rate
    BUDDY = 23  # inconsistent with its neighbours
    ELEVATION = 24  # station and model elevation differ too much
    BLACKLISTED = 25  # the station's history
    THINNED = 26  # another value stands for it

    @property
    def reason(self) -> str:
        """The name that status, metrics and products show, as ``background``."""
        return self.name.lower()


@dataclass(frozen=True)
class ObservationBatch:
    """Values at points; every array has length n, ``analysis_time`` is aware UTC.

    channel: names as ``t850`` (str); lat, lon: degrees; time: datetime64[s], when the balloon was released, or the
    nominal time where that is unknown; value and sigma (standard deviation of the error): the channel's units;
    elevation: m, the station's, NaN where unknown; station: the 11-character ID; report: station, nominal and
    release time; quality: a ``Quality`` code, int16.
    """

    analysis_time: datetime
    channel: npt.NDArray[np.str_]
    lat: npt.NDArray[np.float64]
    lon: npt.NDArray[np.float64]
    time: npt.NDArray[np.datetime64]
    value: npt.NDArray[np.float64]
    sigma: npt.NDArray[np.float64]
    elevation: npt.NDArray[np.float64]
    station: npt.NDArray[np.str_]
    report: npt.NDArray[np.str_]
    quality: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        if self.analysis_time.tzinfo is None:
            raise ValueError("analysis_time must be aware UTC")
        lengths = {name: len(values) for name, values in self.arrays().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the arrays of a batch must have one length; got {lengths}")

    def __len__(self) -> int:
        return len(self.value)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "analysis_time"}

    def select(self, mask: npt.NDArray[Any]) -> "ObservationBatch":
        """The values chosen by a boolean mask or by indices."""
        return replace(self, **{name: values[mask] for name, values in self.arrays().items()})

    def mark(self, mask: npt.NDArray[np.bool_], quality: Quality) -> "ObservationBatch":
        """A copy in which values of ``mask`` that were still to be assimilated carry ``quality``; a verdict stays."""
        chosen = mask & (self.quality == Quality.ASSIMILATED)
        return replace(self, quality=np.where(chosen, np.int16(quality), self.quality).astype(np.int16))

    @property
    def assimilated(self) -> "ObservationBatch":
        """The values that enter the analysis."""
        return self.select(self.quality == Quality.ASSIMILATED)
