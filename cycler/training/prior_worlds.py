"""The runs that a prior learns from, and the days that it is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.bundle import Bundle, Climatology
from dacycle.cycler.training.climatology import fit_climatology
from dacycle.cycler.training.dataset import Dataset, open_dataset, span
from dacycle.cycler.training.frames import Frames, join, load_frames
from dacycle.errors import DacycleError

__all__ = ["PriorWorlds"]


@dataclass(frozen=True)
class PriorWorlds:
    """``runs`` on one grid, of which the last ``kept`` states are for judging; or else all of ``judges``. ``helpers``:
    longer runs on coarser grids, for the climatology's seasons."""

    runs: list[Dataset]
    kept: list[int]
    judges: list[Dataset]
    helpers: list[Dataset]

    @classmethod
    def opened(
        cls, data: Sequence[str], judges: Sequence[str], helpers: Sequence[str], days: float, shape: tuple[int, int]
    ) -> "PriorWorlds":
        """``days`` at the end of each run are kept where there are no ``judges``; ``shape``: of zarr stores' grid.
        DacycleError where grids differ or nothing would be left to judge by."""
        runs, judging, helping = ([open_dataset(where, shape) for where in each] for each in (data, judges, helpers))
        if len({run.grid.shape for run in [*runs, *judging]}) > 1:
            raise DacycleError("--data: all runs must be on one grid; coarser ones belong to --helpers")
        kept = [0 if judging else int(timedelta(days=days) / (run.times[1] - run.times[0])) for run in runs]
        if not judging and not all(kept):
            needed = (
                "expected at least one state of each run, to judge the network and find how far it is to be believed"
            )
            raise DacycleError(f"--validation-days {days:g}: {needed}")
        return cls(runs, kept, judging, helping)

    def climatology(self, bundle: Bundle | None) -> Climatology:
        """That of ``bundle``, or one of their own. DacycleError where the bundle's is not for these runs."""
        if bundle is None:
            return fit_climatology(self.runs, self.helpers, DEFAULT_CHANNELS)
        if self.helpers:
            raise DacycleError("--climate-from: the bundle's climatology is kept, so --helpers have no part in it")
        if bundle.grid.shape != self.runs[0].grid.shape:
            raise DacycleError(
                f"--climate-from: the bundle is on {bundle.grid.shape}, the data on {self.runs[0].grid.shape}"
            )
        return bundle.climatology

    def training(self, climatology: Climatology) -> Frames:
        """All states to learn from."""
        parts = [(run, slice(0, len(run.times) - k)) for run, k in zip(self.runs, self.kept, strict=True)]
        return join([load_frames(run, DEFAULT_CHANNELS, climatology, part) for run, part in parts])

    def validation(self, climatology: Climatology) -> Frames:
        """All states to judge by."""
        ends = [(run, slice(len(run.times) - k, None)) for run, k in zip(self.runs, self.kept, strict=True)]
        parts = [(run, slice(None)) for run in self.judges] or ends
        return join([load_frames(run, DEFAULT_CHANNELS, climatology, part) for run, part in parts])

    def told(self) -> dict[str, list[str]]:
        """For the card."""
        parts = {"data": self.runs, "helpers": self.helpers, "judged_by": self.judges}
        return {name: [f"{run.name} {span(run.times)}" for run in runs] for name, runs in parts.items()}
