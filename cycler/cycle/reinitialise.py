"""The reinitialise stage: the analyses become the emulator's next initial states."""

from dacycle.cycler.assimilation.fields import coarsen
from dacycle.cycler.cycle.states import Stage
from dacycle.cycler.cycle.task import FORECAST, INITIAL, Task

__all__ = ["reinitialise"]


def reinitialise(task: Task) -> None:
    """Analyses downsampled to the emulator's grid, or inflated forecasts; the early stream's go on as they are."""
    states = task.work.array(FORECAST) if task.free and task.early else coarsen(task.bundle, task.states())
    task.work.keep_array(Stage.REINITIALISE, INITIAL, states.astype("float32"))
