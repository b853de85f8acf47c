"""The seeded list of faults of a soak."""

import random
from dataclasses import dataclass

__all__ = ["KINDS", "Fault", "schedule"]

KINDS = {
    "kill": (1, 1),
    "source down": (1, 14),
    "source slow": (8, 32),
    "late soundings": (8, 24),
    "one late sounding": (4, 24),
    "revised soundings": (1, 1),
    "broken zip": (1, 4),
    "disk full": (1, 6),
    "failing stage": (1, 2),
    "poison": (40, 40),
    "clock ahead": (1, 1),
    "clock behind": (1, 1),
    "flipped byte": (1, 1),
    "operator reruns": (1, 1),
    "operator holds": (2, 8),
}
"""Kind -> how many wakings it lasts, at least and at most."""

EVERY = 7  # wakings from one fault to the next, on average
KILLS_UNTIL = 0.4
"""Of the time; then one process lives on, so that its growth can be measured."""


@dataclass(frozen=True)
class Fault:
    """From waking ``step`` on, for ``length`` of them; ``draw``: a number from 0 to 1 for what it needs to choose."""

    kind: str
    step: int
    length: int
    draw: float

    def holds(self, step: int) -> bool:
        """Whether the fault is there at that waking."""
        return self.step <= step < self.step + self.length


def schedule(seed: int, steps: int) -> list[Fault]:
    """The faults of so many wakings: every kind in turn, in a random order, at random times."""
    chance = random.Random(seed)
    faults: list[Fault] = []
    kinds: list[str] = []
    step = 12
    while step < steps:
        kinds = kinds or chance.sample(sorted(KINDS), len(KINDS))
        kind = kinds.pop()
        if kind != "kill" or step < KILLS_UNTIL * steps:
            length = min(chance.randint(*KINDS[kind]), steps - step)
            faults.append(Fault(kind, step, length, chance.random()))
        step += chance.randint(1, 2 * EVERY - 1)
    return faults
