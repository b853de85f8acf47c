"""How far a long command is: a bar on a terminal, a plain line now and then elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["Meter"]

LINE_SECONDS = 10.0


class Meter:
    """Counts ``total`` units of work; a context manager."""

    def __init__(self, console: Console, total: float) -> None:
        self._console, self._total, self._done = console, total, 0.0
        self._text, self._told = "", -LINE_SECONDS
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> "Meter":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """What is being done."""
        self._text = text
        self._progress.update(self._task, description=text)
        self._line()

    def advance(self, units: float) -> None:
        """So much more is done."""
        self._done += units
        self._progress.update(self._task, completed=round(self._done))
        self._line()

    def _line(self) -> None:
        if not self._console.is_terminal and time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            self._console.print(f"{100 * self._done / self._total:3.0f} %  {self._text}", highlight=False)
