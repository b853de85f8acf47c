"""A free run of the emulator: global means, spectra and mean state, without keeping the fields."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import torch

from dacycle.emulators.grid import Grid
from dacycle.emulators.lucie import STEP_HOURS, Lucie

__all__ = ["FreeRun", "free_run", "zonal_spectrum"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FreeRun:
    """States every six hours after a start: ``global_mean`` (T, C); over those that count, as often as they do, the
    ``mean`` (C, nlat, nlon) and the mean zonal energy ``spectrum`` (C, nlon // 2 + 1). ``blown_up``: the time at which
    it left all bounds, or None.
    """

    times: list[datetime]
    global_mean: FloatArray
    mean: FloatArray
    spectrum: FloatArray
    blown_up: datetime | None


def zonal_spectrum(states: npt.NDArray[np.floating], grid: Grid) -> FloatArray:
    """Area-mean energy per zonal wavenumber (..., nlon // 2 + 1) of (..., nlat, nlon): squares of the amplitudes of
    cosines and sines over two, so that their sum is the mean square."""
    amplitude = np.abs(np.fft.rfft(states, axis=-1)) / states.shape[-1]
    energy = np.square(amplitude) * np.where(np.arange(amplitude.shape[-1]) > 0, 2.0, 1.0)
    return np.asarray((energy * grid.weights[:, None]).mean(-2))


@torch.no_grad()
def free_run(
    lucie: Lucie,
    state: npt.NDArray[np.float32],
    start: datetime,
    steps: int,
    counts: Callable[[datetime], float] = lambda time: 1.0,
    progress: Callable[[float], None] = lambda fraction: None,
    seed: int | None = None,
) -> FreeRun:
    """``steps`` steps from ``state`` (C, nlat, nlon), physical; ``counts``: how often the state of a time does in mean
    and spectrum.

    With a ``seed`` the small scales fluctuate, where the emulator knows how much. Ends early where a value becomes
    infinite.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    z = lucie.standardise(torch.from_numpy(state[None]).to(lucie.mean.device))
    total, spectrum = np.zeros(state.shape), np.zeros((len(state), state.shape[-1] // 2 + 1))
    times: list[datetime] = []
    means, counted, blown_up = [], 0.0, None
    for step in range(steps):
        now = start + step * timedelta(hours=STEP_HOURS)
        z, _ = lucie.advance(z, [now], generator)
        fields = lucie.physical(z)[0].cpu().numpy().astype(np.float64)
        if not np.isfinite(fields).all():
            blown_up = now
            break
        times.append(now + timedelta(hours=STEP_HOURS))
        means.append(lucie.grid.mean(fields))
        if weight := counts(times[-1]):
            total += weight * fields
            spectrum += weight * zonal_spectrum(fields, lucie.grid)
            counted += weight
        progress((step + 1) / steps)
    held = max(counted, 1.0)
    return FreeRun(times, np.array(means), total / held, spectrum / held, blown_up)
