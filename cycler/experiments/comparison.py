"""What the cycle is compared with: climatology, the emulator alone, the soundings alone, and both without the loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.assimilation.fields import coarsen, lift
from dacycle.cycler.experiments.scores import FloatArray, Rmse, rmse
from dacycle.cycler.experiments.twin import cycle, forecast
from dacycle.emulators.emulator import Emulator
from dacycle.obs.batch import ObservationBatch

__all__ = ["CLIMATOLOGY", "FREE_RUN", "NO_LOOP", "SOUNDINGS", "Comparison", "compare"]

CLIMATOLOGY = "climatology"
FREE_RUN = "LUCIE alone"
SOUNDINGS = "soundings alone"
NO_LOOP = "LUCIE + soundings"


@dataclass(frozen=True)
class Comparison:
    """The common start and input of all columns: ``first`` (members, channels, nlat, nlon) at the first batch's time,
    the checked ``batches``, and the truth (channels, nlat, nlon) at each batch's time."""

    analyst: Analyst
    emulator: Emulator
    first: FloatArray
    batches: Sequence[ObservationBatch]
    truth: Callable[[ObservationBatch], FloatArray]
    members: int
    seed: int


def compare(setting: Comparison, told: Callable[[str], None]) -> dict[str, list[Rmse]]:
    """RMSE of the ensemble mean per column and time after the first; ``told(column)`` after each time."""
    bundle = setting.analyst.bundle
    columns: dict[str, list[Rmse]] = {CLIMATOLOGY: [], FREE_RUN: [], SOUNDINGS: [], NO_LOOP: []}

    def score(name: str, batch: ObservationBatch, mean: FloatArray) -> None:
        columns[name].append(rmse(bundle.grid, mean, setting.truth(batch)))
        told(name)

    free, time = coarsen(bundle, setting.first), setting.batches[0].analysis_time
    numbers = range(1, setting.members + 1)
    for batch in setting.batches[1:]:
        score(CLIMATOLOGY, batch, bundle.climatology.mean(batch.analysis_time))
        free, time = forecast(setting.emulator, free, time, batch.analysis_time), batch.analysis_time
        score(FREE_RUN, batch, lift(bundle, free.mean(0), time))
        score(SOUNDINGS, batch, setting.analyst.draw(time, batch, None, numbers, setting.seed).mean(0))
    steps = cycle(
        setting.analyst,
        setting.emulator,
        setting.batches,
        setting.members,
        setting.seed,
        first=setting.first,
        reinitialise=False,
    )
    for step, batch in zip(steps, setting.batches, strict=True):
        if step.forecast is not None:
            score(NO_LOOP, batch, step.states.mean(0))
    return columns
