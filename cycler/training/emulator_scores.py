"""How good an emulator is on states that no training saw: RMSE against persistence and climatology."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.training.coarse import EmulatorData
from dacycle.emulators.lucie import STEP_HOURS, Lucie

__all__ = ["Scores", "score"]

FloatArray = npt.NDArray[np.float64]
BATCH = 16


@dataclass(frozen=True)
class Scores:
    """RMSE per lead (hours) and channel, units of the channels; ``climatology`` per channel."""

    leads: tuple[int, ...]
    channels: tuple[str, ...]
    emulator: FloatArray
    persistence: FloatArray
    climatology: FloatArray

    def skill(self, hours: int) -> float:
        """Mean over channels of RMSE / RMSE of persistence at that lead: lower is better, 1 is useless."""
        row = self.leads.index(hours)
        return float((self.emulator[row] / self.persistence[row]).mean())

    def summary(self) -> str:
        """The skill at each lead in one line."""
        return "RMSE / persistence " + ", ".join(f"{self.skill(hours):.3f} at {hours} h" for hours in self.leads)

    def as_dict(self) -> dict[str, dict[str, dict[str, float]]]:
        """RMSE of emulator, persistence and climatology by lead and channel."""
        return {
            f"{hours} h": {
                name: {
                    "rmse": float(self.emulator[row, i]),
                    "persistence": float(self.persistence[row, i]),
                    "climatology": float(self.climatology[i]),
                }
                for i, name in enumerate(self.channels)
            }
            for row, hours in enumerate(self.leads)
        }

    def table(self) -> str:
        """One line per channel: emulator / persistence at each lead, then climatology."""
        head = f"{'':6}" + "".join(f"{f'{h} h':>10}{'(persist.)':>12}" for h in self.leads) + f"{'climatology':>13}"
        lines = [head]
        for i, name in enumerate(self.channels):
            pairs = zip(self.emulator[:, i], self.persistence[:, i], strict=True)
            cells = "".join(f"{e:10.4g}{f'({p:.4g})':>12}" for e, p in pairs)
            lines.append(f"{name:6}{cells}{self.climatology[i]:13.4g}")
        ratios = "".join(f"{self.skill(h):10.3f}{'':12}" for h in self.leads)
        return "\n".join([*lines, f"{'ratio':6}{ratios}"])


def score(
    lucie: Lucie,
    data: EmulatorData,
    leads: tuple[int, ...] = (6, 12, 24),
    every: int = 4,
    climate: Callable[[datetime], FloatArray] | None = None,
) -> Scores:
    """From each ``every``-th start of ``data``. ``climate``: mean state of a date, else the emulator's own."""
    steps = max(leads) // STEP_HOURS
    starts = data.starts(steps)[::every]
    errors, still = (np.zeros((len(leads), len(data.channels))) for _ in range(2))
    for first in range(0, len(starts), BATCH):
        chosen = starts[first : first + BATCH]
        forecasts = _forecasts(lucie, data, chosen, steps)
        for row, hours in enumerate(leads):
            truth = data.states[chosen + hours // STEP_HOURS]
            errors[row] += _squares(forecasts[hours // STEP_HOURS - 1] - truth, data)
            still[row] += _squares(data.states[chosen] - truth, data)
    normal = np.zeros(len(data.channels))
    for i in starts:
        usual = lucie.mean.cpu().numpy() if climate is None else climate(data.times[i]).astype(np.float32)
        normal += _squares(data.states[i : i + 1] - usual, data)
    names = tuple(c.name for c in data.channels)
    means = [np.sqrt(total / len(starts)) for total in (errors, still, normal)]
    return Scores(leads, names, means[0], means[1], means[2])


@torch.no_grad()
def _forecasts(
    lucie: Lucie, data: EmulatorData, starts: npt.NDArray[np.int64], steps: int
) -> list[npt.NDArray[np.float32]]:
    """States after each step, physical (batch, C, nlat, nlon); each start has its own date."""
    z = lucie.standardise(torch.from_numpy(data.states[starts]).to(lucie.mean.device))
    results = []
    for step in range(steps):
        z, _ = lucie.advance(z, [data.times[i] + step * timedelta(hours=STEP_HOURS) for i in starts])
        results.append(lucie.physical(z).cpu().numpy())
    return results


def _squares(difference: npt.NDArray[np.float32], data: EmulatorData) -> FloatArray:
    """Area-mean square per channel, summed over the first axis."""
    return np.asarray(data.grid.mean(np.square(difference, dtype=np.float64)).sum(0))
