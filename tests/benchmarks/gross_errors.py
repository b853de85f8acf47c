"""How many gross errors of the simulated world the checks find, and what the rest of them costs.

    python -m tests.benchmarks.gross_errors NATURE.nc [--bundle default] [--times 8] [--members 8]

The same network observes the same nature run twice, with the same random errors and gaps: once without gross errors,
once with one in a hundred values grossly wrong (``training/instruments.py`` has the kinds). Both are cycled with
optimal interpolation. Told: which share of the gross errors was rejected, which share of the good values, and the
RMSE of the analyses against the simulated truth, dirty over clean, by channel.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np

from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.cycle.ingest import gather
from dacycle.cycler.cycle.outliers import reject_outliers
from dacycle.cycler.experiments.scores import rmse
from dacycle.cycler.experiments.twin import cycle
from dacycle.cycler.training.dataset import state
from dacycle.cycler.training.nature import NatureFile, open_nature
from dacycle.cycler.training.network import simulate_network
from dacycle.emulators.registry import load_emulator
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.igra.writer import write_archive
from dacycle.obs.source import open_source

__all__ = ["Trial", "compare", "run_trial"]

JUDGED = (Quality.GROSS, Quality.VERTICAL, Quality.BACKGROUND, Quality.BUDDY)


class Trial:
    """What one world's cycling gave."""

    def __init__(self) -> None:
        self.gross: Counter[str] = Counter()  # by channel, and so on
        self.found: Counter[str] = Counter()
        self.good: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.missed: list[tuple[str, str, float, float]] = []
        self.errors: list[np.ndarray] = []

    def count(self, checked: ObservationBatch, gross: frozenset[tuple[str, str]]) -> None:
        """Add the verdicts of one time; what fell for other reasons than its value is neither."""
        rows = zip(checked.report.tolist(), checked.channel.tolist(), strict=True)
        wrong = np.array([row in gross for row in rows], np.bool_)
        judged = np.isin(checked.quality, JUDGED)
        for name in np.unique(checked.channel).tolist():
            own = (checked.channel == name) & (judged | (checked.quality == Quality.ASSIMILATED))
            self.gross[name] += int((own & wrong).sum())
            self.found[name] += int((own & wrong & judged).sum())
            self.good[name] += int((own & ~wrong).sum())
            self.lost[name] += int((own & ~wrong & judged).sum())


def run_trial(nature: Path, times: list[datetime], fraction: float, bundle: Bundle, members: int, sites: int) -> Trial:
    """Cycle one world; the first time has no forecast."""
    trial = Trial()
    with patch("dacycle.cycler.training.instruments.GROSS_FRACTION", fraction), tempfile.TemporaryDirectory() as folder:
        network = simulate_network(nature, sites, 3, times)
        write_archive(Path(folder), network.soundings, network.stations, times[0].year)
        source = open_source("igra", folder, Path(folder) / "mirror")
        batches = [gather(source, bundle, time).batch for time in times]

    def check(batch: ObservationBatch, forecast: np.ndarray | None) -> ObservationBatch:
        checked = reject_outliers(bundle, batch, forecast)
        trial.count(checked, network.gross)
        return checked

    run = open_nature(nature)
    analyst = Analyst(bundle, Settings("oi"))
    for step in cycle(analyst, load_emulator(bundle), batches, members, 0, check=check):
        trial.errors.append(rmse(bundle.grid, step.states.mean(0), truth(run, bundle, step.time)))
    return trial


def truth(run: NatureFile, bundle: Bundle, time: datetime) -> np.ndarray:
    """The nature run at that time."""
    return state(run, bundle.channels, run.times.index(time))


def compare(clean: Trial, dirty: Trial) -> dict[str, object]:
    """Shares and ratios, in all and by channel."""

    def share(part: Counter[str], whole: Counter[str]) -> dict[str, float]:
        return {name: round(part[name] / whole[name], 4) for name in whole if whole[name]}

    ratio = np.sqrt(np.mean(np.square(dirty.errors), 0) / np.mean(np.square(clean.errors), 0))
    return {
        "gross": dirty.gross.total(),
        "gross_rejected": dirty.found.total() / max(dirty.gross.total(), 1),
        "good": dirty.good.total(),
        "good_rejected": dirty.lost.total() / max(dirty.good.total(), 1),
        "clean_good_rejected": clean.lost.total() / max(clean.good.total(), 1),
        "rmse_ratio": float(ratio.mean()),
        "rmse_ratio_by_channel": ratio.round(4).tolist(),
        "gross_rejected_by_channel": share(dirty.found, dirty.gross),
        "good_rejected_by_channel": share(dirty.lost, dirty.good),
    }


def main() -> int:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nature", type=Path)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--sites", type=int, default=519)
    args = parser.parse_args()
    bundle, run = open_bundle(args.bundle), open_nature(args.nature)
    first = next(time for time in run.times if time.hour == 0)
    times = [first + timedelta(hours=12 * k) for k in range(args.times)]
    trials = [run_trial(args.nature, times, fraction, bundle, args.members, args.sites) for fraction in (0.0, 0.01)]
    print(json.dumps(compare(*trials), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
