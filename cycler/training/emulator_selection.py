"""Which of the networks along a training is kept: LUCIE's authors take the one whose long run has the least bias."""

import math
from dataclasses import dataclass

import numpy as np

from dacycle.cycler.training.coarse import EmulatorData
from dacycle.cycler.training.emulator_scores import Scores, score
from dacycle.cycler.training.free_run import free_run
from dacycle.cycler.training.season import AnnualCycle
from dacycle.emulators.lucie import STEP_HOURS, Lucie

__all__ = ["Judgement", "judge"]

LEAD = 24  # hours


@dataclass(frozen=True)
class Judgement:
    """``scores`` on the validation states; ``bias`` of a free run's mean state: root mean square, in standard
    deviations."""

    scores: Scores
    bias: float

    @property
    def value(self) -> float:
        """Less is better: the error at a day, relative to persistence, plus the bias. Here forecasts count as well."""
        return self.scores.skill(LEAD) + self.bias

    def summary(self) -> str:
        """In one line."""
        return f"{self.scores.summary()}; bias of the free run {self.bias:.3f}"


def judge(lucie: Lucie, validation: EmulatorData, climate: AnnualCycle, days: float) -> Judgement:
    """Forecasts from the validation states, and a free run of ``days`` from the first of them (0: none)."""
    scores, steps = score(lucie, validation), round(days * 24 / STEP_HOURS)
    if steps == 0:
        return Judgement(scores, 0.0)
    run = free_run(lucie, validation.states[0], validation.times[0], steps)
    if run.blown_up is not None:
        return Judgement(scores, math.inf)
    expected = climate.coefficients[0] + climate.departure(run.times)
    bias = (run.mean - expected) / lucie.std.cpu().numpy()
    return Judgement(scores, float(np.sqrt(validation.grid.mean(np.square(bias)).mean())))
