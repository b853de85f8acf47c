"""Datasets as the training sees them: standardised, and drawn in a reproducible order."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.training.attractor import fit_attractor
from dacycle.cycler.training.coarse import EmulatorData
from dacycle.cycler.training.emulator_loss import Scales, Targets
from dacycle.cycler.training.season import annual_cycle
from dacycle.emulators.lucie import Lucie, LucieArguments, Statistics, log_precipitation

__all__ = ["NOISE", "World", "draw", "statistics_of"]

STD_FLOOR = 1e-12
ORDER, CHOICE, NOISE = 1, 2, 3  # separate the random streams


class World:
    """One dataset, standardised by its own statistics, with a LUCIE that has its statics."""

    def __init__(
        self,
        data: EmulatorData,
        network: LucieArguments,
        longest_rollout: int,
        year: EmulatorData | None = None,
        device: str = "cpu",
    ) -> None:
        self.statistics = statistics_of(data, network.insolation, year)
        attractor = fit_attractor(data, self.statistics, year) if network.attractor else None
        self.lucie = Lucie(data.channels, data.grid, network, self.statistics, attractor).to(device)
        self.z = self.lucie.standardise(torch.from_numpy(data.states).to(device))
        mean, std = self.statistics.precipitation
        self.water = ((log_precipitation(torch.from_numpy(data.precipitation)) - mean) / std).to(device)
        self.insolation = self.lucie.forcings(data.times)
        self.starts = data.starts(longest_rollout)
        self.scales = Scales(data.grid, self.z, self.starts, longest_rollout)

    def targets(self, starts: npt.NDArray[np.int64], steps: int) -> Targets:
        """Rollouts of ``steps`` steps from ``starts``."""
        index = torch.from_numpy(starts[None] + np.arange(steps + 1)[:, None])
        return Targets(self.z[index], self.insolation[index[:-1]], self.water[index[1:]])

    def disturb(self, targets: Targets, share: float, seed: list[int]) -> Targets:
        """The same with noise on the start: isotropic, with the spectrum of ``share`` of a six-hourly change, and
        independent between channels, as an emulator's own errors are; it must learn to lead back from them."""
        rng, scales = np.random.default_rng(seed), self.scales
        batch, channels = targets.states.shape[1:3]
        white = torch.from_numpy(rng.normal(size=(batch, channels, scales.harmonics.lmax**2)).astype(np.float32))
        degree = scales.harmonics.degree
        modes = 2.0 * torch.arange(scales.harmonics.lmax) + 1
        amplitude = (scales.change[0] / modes.to(scales.change)).sqrt()[:, degree]
        size = torch.from_numpy(rng.uniform(0, 2 * share, (batch, 1, 1)).astype(np.float32))
        noise = scales.harmonics.synthesise((size * white).to(amplitude) * amplitude)
        return replace(targets, states=torch.cat([targets.states[:1] + noise, targets.states[1:]]))


def statistics_of(data: EmulatorData, insolation: str = "daily", year: EmulatorData | None = None) -> Statistics:
    """Mean per point; standard deviation of the anomalies and of six-hourly tendencies per channel, area-weighted.

    Where ``data`` covers a part of the year only, ``year``, a run of a similar world over all seasons, tells how far
    that part lies from the annual mean, and gives the standard deviation over all seasons.
    """
    mean = data.states.mean(0, dtype=np.float64)
    area = data.grid.weights[:, None]
    channels, before = range(len(mean)), data.starts(1)
    whole, whole_mean = (data, mean) if year is None else (year, year.states.mean(0, dtype=np.float64))
    variance = np.stack([np.square(whole.states[:, c] - whole_mean[c]).mean(0) for c in channels])
    if year is not None:
        mean = mean - annual_cycle(year).departure(data.times)
    tendency = np.stack([np.square(data.states[before + 1, c] - data.states[before, c]).mean(0) for c in channels])
    std, tendency_std = (np.sqrt((v * area).mean((1, 2)) + STD_FLOOR)[:, None, None] for v in (variance, tendency))
    water = log_precipitation(torch.from_numpy(data.precipitation))
    plain = Lucie(data.channels, data.grid, LucieArguments(embed=1, layers=0, insolation=insolation))
    sun = plain.forcings(whole.times[::4])
    orography = (data.orography - data.orography.mean()) / (data.orography.std() + STD_FLOOR)
    return Statistics(
        torch.from_numpy(mean).float(),
        torch.from_numpy(std).float(),
        torch.from_numpy(tendency_std).float(),
        torch.stack([water.mean(), water.std() + STD_FLOOR]),
        torch.stack([sun.mean(), sun.std() + STD_FLOOR]),
        torch.from_numpy(orography).float(),
        torch.from_numpy(data.land).float(),
    )


def draw(
    worlds: Sequence[World], own_share: float | None, seed: int, step: int, batch: int
) -> tuple[World, npt.NDArray[np.int64]]:
    """The batch of a step: a world, then starts in seeded random order, each once before any comes again.

    A function of its arguments only, so that a resumed run sees the same batches. ``own_share`` is the probability
    of the first world; None means in proportion to the sizes.
    """
    sizes = np.array([len(world.starts) for world in worlds], dtype=np.float64)
    if own_share is not None and len(worlds) > 1:
        sizes[0] = sizes[1:].sum() * own_share / (1 - own_share)
    which = int(np.random.default_rng([seed, CHOICE, step]).choice(len(worlds), p=sizes / sizes.sum()))
    starts = worlds[which].starts
    epochs, places = np.divmod(step * batch + np.arange(batch), len(starts))
    orders = {
        epoch: np.random.default_rng([seed, ORDER, which, epoch]).permutation(starts) for epoch in set(epochs.tolist())
    }
    chosen = [orders[epoch][place] for epoch, place in zip(epochs.tolist(), places.tolist(), strict=True)]
    return worlds[which], np.array(chosen, dtype=np.int64)
