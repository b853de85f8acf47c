"""Where the results of a world lie that no training saw."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from dacycle.cycler.training.nature import NatureFile
from dacycle.cycler.training.unseen_worlds import folder
from dacycle.emulators.grid import gaussian_grid

GRID = gaussian_grid(8, 16)


def run(first: datetime, days: int) -> NatureFile:
    times = tuple(first + timedelta(hours=6 * k) for k in range(4 * days))
    return NatureFile(Path("runs/fine.nc"), GRID, times, *[np.zeros(GRID.shape, np.float32)] * 2)


def test_runs_networks_and_periods_of_one_run_have_folders_of_their_own() -> None:
    spring, autumn = (run(datetime(2001, month, 1, tzinfo=UTC), 10) for month in (4, 10))
    assert folder("runs/fine.nc", spring, 7) == "fine-7"
    periods = {
        folder(f"runs/fine.nc@{part}", nature, network)
        for part, nature in (("2001-04-01/2001-04-10", spring), ("2001-10-01/2001-10-10", autumn))
        for network in (7, 99)
    }
    assert periods == {
        f"fine-2001{days}-{network}" for days in ("0401-20010410", "1001-20011010") for network in (7, 99)
    }
