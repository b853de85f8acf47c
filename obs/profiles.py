"""A batch seen by sounding: which of its values stand beside which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel, channel
from dacycle.obs.batch import ObservationBatch, Quality

__all__ = ["Profiles", "wind_pairs"]


@dataclass(frozen=True)
class Profiles:
    """``row`` (n,): each value's report among the r reports of the batch; ``index`` channel name -> (r,), the value of
    that report, -1 where it has none (of several, the first that is still to be assimilated).
    """

    batch: ObservationBatch
    row: npt.NDArray[np.int64]
    index: dict[str, npt.NDArray[np.int64]]

    @classmethod
    def of(cls, batch: ObservationBatch) -> "Profiles":
        """The profiles of ``batch``, over values that are still to be assimilated."""
        reports, row = np.unique(batch.report, return_inverse=True)
        index = {}
        usable = batch.quality == Quality.ASSIMILATED
        for name in np.unique(batch.channel).tolist():
            rows = np.flatnonzero((batch.channel == name) & usable)[::-1]
            index[name] = np.full(len(reports), -1)
            index[name][row[rows]] = rows
        return cls(batch, row, index)

    @property
    def reports(self) -> int:
        """How many reports there are."""
        return int(self.row.max(initial=-1)) + 1

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """(r,): the channel's value in each report, NaN where there is none."""
        return self._pick(name, self.batch.value)

    def elevation(self) -> npt.NDArray[np.float64]:
        """(r,): each report's station elevation, NaN where unknown."""
        elevation = np.full(self.reports, np.nan)
        elevation[self.row] = self.batch.elevation
        return elevation

    def _pick(self, name: str, column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        index = self.index.get(name)
        if index is None or not len(column):
            return np.full(self.reports, np.nan)
        return np.where(index >= 0, column[index], np.nan)

    def mask(self, name: str, reports: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(n,): the values of the channel in the marked reports (r,)."""
        chosen = np.zeros(len(self.batch), np.bool_)
        index = self.index.get(name)
        if index is not None:
            chosen[index[reports & (index >= 0)]] = True
        return chosen

    def levels(self) -> list[int]:
        """The pressure levels (hPa) of the batch's channels, from below."""
        channels: Sequence[Channel] = [channel(name) for name in self.index]
        return sorted({c.level_hpa for c in channels if c.level_hpa is not None}, reverse=True)


def wind_pairs(batch: ObservationBatch, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """``mask``, with the other component of every wind of which it has one: both are one measurement."""
    if not mask.any():
        return mask
    wind = np.array([channel(name).variable in "uv" for name in batch.channel.tolist()], np.bool_)
    names = (name.replace("u", "").replace("v", "") for name in batch.channel.tolist())
    label = np.array([f"{report} {level}" for report, level in zip(batch.report.tolist(), names, strict=True)])
    return np.asarray(mask | (wind & np.isin(label, np.unique(label[mask & wind]))))
