"""Progress on a terminal, and as plain lines everywhere else."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from dacycle.cycler.cycle.progress import Observer, Progress

__all__ = ["interrupted", "plain", "watching"]

interrupted = threading.Event()
"""Set when the process was asked to stop. The exception that a signal raises can get lost (Python ignores it in
destructors and in some callbacks of torch), so every point of progress asks here too."""


@contextmanager
def watching(stream: TextIO | None = None) -> Iterator[Observer]:
    """An observer for a command: a live bar on a terminal, else one line per stage and chunk."""
    out = stream or sys.stderr
    with _showing(out) as show:

        def observe(progress: Progress) -> None:
            if interrupted.is_set():
                raise KeyboardInterrupt
            show(progress)

        yield observe


@contextmanager
def _showing(out: TextIO) -> Iterator[Observer]:
    if not out.isatty():
        yield plain(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(file=out), transient=True) as bars:
        task = bars.add_task("", total=None)

        def show(progress: Progress) -> None:
            label = f"{progress.time:%Y-%m-%dT%H} {progress.stream}"
            if progress.point == "stage_begin":
                bars.reset(task, description=f"{label} {progress.stage}", total=None)
            elif progress.total:
                bars.update(task, completed=progress.done, total=progress.total)

        yield show


def plain(out: TextIO) -> Observer:
    """One line per stage and chunk."""

    def tell(progress: Progress) -> None:
        if progress.point in ("stage_begin", "chunk"):
            share = f" {progress.done}/{progress.total}" if progress.total else ""
            line = f"{progress.time:%Y-%m-%dT%H} {progress.stream} {progress.stage}{share}"
            print(line, file=out, flush=True)

    return tell
