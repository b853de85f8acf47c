"""Where chunks of members are drawn: here, one after the other, or on the processes of a cluster (``cluster.py``).

The unit of work is a chunk of fixed member numbers. Every member's noise derives from seed, time and number alone, so
that it does not matter where a chunk is drawn, in which order, or how often it had to be begun.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from dacycle.cycler.allocator import give_back_freed_memory
from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.ageing import YOUNG, Age
from dacycle.obs.batch import ObservationBatch

if TYPE_CHECKING:
    from dacycle.cycler.assimilation.analysis import Analyst
    from dacycle.cycler.assimilation.model_term import ModelField

__all__ = ["Check", "Chunk", "Executor", "Here", "Known", "draw_chunk"]

FloatArray = npt.NDArray[np.float32]
Chunk = Sequence[int]
Check = Callable[[int], None]
"""Called every second or so with the number of denoiser calls made since the last time; may raise to end the work."""


@dataclass(frozen=True)
class Known:
    """What all members of an analysis are drawn from: the arguments of ``Analyst.draw`` that they share."""

    time: datetime
    batch: ObservationBatch
    forecast: FloatArray | None
    seed: int
    adaptation: Adaptation | None = None
    models: "tuple[ModelField, ...]" = ()
    age: Age = YOUNG


class Executor(Protocol):
    """Draws chunks."""

    def draw(self, known: Known, chunks: Sequence[Chunk], check: Check) -> Iterator[tuple[Chunk, FloatArray]]:
        """Each chunk with its members (len(chunk), channels, nlat, nlon), as they come, in any order."""
        ...

    def close(self) -> None:
        """Let go of processes and connections."""
        ...


@dataclass(frozen=True)
class Here:
    """In this process."""

    analyst: "Analyst"

    def draw(self, known: Known, chunks: Sequence[Chunk], check: Check) -> Iterator[tuple[Chunk, FloatArray]]:
        """In the order of the chunks."""
        for chunk in chunks:
            yield chunk, draw_chunk(self.analyst, known, chunk, lambda: check(1))
        give_back_freed_memory()

    def close(self) -> None:
        """Nothing to let go of."""


def draw_chunk(analyst: "Analyst", known: Known, chunk: Chunk, check: Callable[[], None]) -> FloatArray:
    """One chunk, the same wherever it is called; ``check`` is called before each call of the denoiser."""
    given = known.time, known.batch, known.forecast, chunk, known.seed
    return analyst.draw(*given, check=check, adaptation=known.adaptation, models=known.models, age=known.age)
