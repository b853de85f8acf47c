"""How long a stage may take: between two denoiser calls, or two chunks, it can be told to stop."""

import time
from dataclasses import replace

from dacycle.cycler.cycle.progress import Observer, Progress
from dacycle.cycler.cycle.states import Stage
from dacycle.cycler.cycle.task import Task
from dacycle.errors import DacycleError

__all__ = ["StageTimeoutError", "limited"]


class StageTimeoutError(DacycleError):
    """A stage took longer than it may."""


def limited(task: Task, stage: Stage, seconds: float) -> Task:
    """The task, whose next points of progress end it once ``seconds`` have passed."""
    observer: Observer = task.observer
    end = time.monotonic() + seconds

    def observe(progress: Progress) -> None:
        observer(progress)
        if time.monotonic() > end:
            raise StageTimeoutError(
                f"{stage} took longer than {seconds:g} s ([cycle] stage_timeout_seconds); it is tried again"
            )

    return replace(task, observer=observe)
