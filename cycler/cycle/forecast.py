"""The forecast stage: every member goes on from its own reinitialised state."""

from dacycle.cycler.cycle.covariances import known_before
from dacycle.cycler.cycle.states import Stage
from dacycle.cycler.cycle.task import FORECAST, INITIAL, Task
from dacycle.errors import BundleError

__all__ = ["forecast"]


def forecast(task: Task) -> None:
    """From the base's initial states to this cycle's time, on the emulator's grid; nothing without any.

    A base with another number of members is used in turn, so that a changed configuration does not end the cycle.
    """
    if task.start is None:
        return
    import torch

    from dacycle.cycler.assimilation.climate_map import into_bundle, into_world

    known = known_before(task)
    emulator = task.models.emulator
    if task.base_work is not None:
        initial = task.base_work.array(INITIAL)
    else:
        assert task.initial is not None
        initial = task.initial.states(task)
    shape = len(task.bundle.channels), *task.bundle.coarse.shape
    if initial.shape[1:] != shape:
        raise BundleError(
            f"{task.record.label}: the analysis to start from has the shape {initial.shape[1:]}, bundle "
            f"{task.bundle.card.name} expects {shape}: "
            "go back to the bundle it was made with, or set another [paths] state"
        )
    members = task.config.ensemble.members
    initial = initial[[i % len(initial) for i in range(members)]]
    initial = into_bundle(task.bundle, known, initial, task.start)
    parts = []
    for number, chunk in enumerate(task.chunks, 1):
        state = torch.from_numpy(initial[chunk[0] - 1 : chunk[-1]])
        with torch.no_grad():
            parts.append(emulator.forecast(state, task.start, task.hours))
        task.tell("chunk", Stage.FORECAST, task.chunk_name(chunk), number, len(task.chunks))
    states = into_world(task.bundle, known, torch.cat(parts).numpy().astype("float32"), task.record.time)
    task.work.keep_array(Stage.FORECAST, FORECAST, states)
