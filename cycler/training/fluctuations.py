"""Finding the fluctuations that give a free run the climate's variance (``emulators/fluctuations.py``).

For the two coefficients of every channel, degree and order, free runs are compared with the climate round by round, and
what is added or kept is corrected a little each time (stochastic approximation, Robbins and Monro 1951; the mean of the
second half of the rounds counts, Polyak and Juditsky 1992). A coefficient that remembers the share rho of itself over
a step turns an added variance q into q / (1 - rho^2), so it is corrected in steps of (1 - rho^2): what the network
forgets at once would take hundreds of the small steps that the rest needs.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.training.coarse import EmulatorData
from dacycle.emulators.attractor import Attractor
from dacycle.emulators.fluctuations import Fluctuations
from dacycle.emulators.lucie import STEP_HOURS, Lucie
from dacycle.emulators.spectral import degree_of
from dacycle.errors import BundleError

__all__ = ["Correction", "FluctuationSettings", "corrected", "fit_fluctuations", "groups"]

BATCH = 32


@dataclass(frozen=True)
class FluctuationSettings:
    """``first_degree``: larger scales are the network's own. A round has ``members`` runs of ``days``, of which the
    first ``settling`` do not count; ``rate`` of its error is corrected (in the second half, half of it)."""

    first_degree: int = 8
    rounds: int = 16
    days: float = 30.0
    settling: float = 5.0
    members: int = 4
    rate: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Correction:
    """Per channel and group (C, groups): variance ``added`` by a step, relative to the climate's, and the share of
    the coefficient that it takes away, ``damped``. One of them is zero."""

    added: Tensor
    damped: Tensor

    @classmethod
    def known(cls, fluctuations: Fluctuations | None, climate: Tensor, group: Tensor) -> "Correction":
        """That of ``fluctuations`` found before, or none; ``climate`` (C, groups), ``group`` (L*L,)."""
        if fluctuations is None:
            return cls(torch.zeros_like(climate), torch.zeros_like(climate))
        return cls(_mean(fluctuations.added, group) / climate, 1 - _mean(fluctuations.kept, group))


def groups(degrees: int) -> Tensor:
    """The group of each coefficient (degrees^2,): sine and cosine of a degree and order."""
    return torch.tensor([k * (k + 1) // 2 + (place + 1) // 2 for k in range(degrees) for place in range(2 * k + 1)])


def corrected(before: Correction, power: Tensor, rate: float | Tensor) -> Correction:
    """After a round in which the variance was ``power`` (C, groups), relative to the climate's; ``rate``: of what is
    lacking, the share to be added to a step, one or (C, groups).

    What was taken away too much is undone before anything is added, and the other way round.
    """
    lack = rate * (1 - power).clamp_min(-1.5)
    # A damping by d takes about as much as 2 d of the variance adds.
    undone = torch.minimum(2 * before.damped, lack.clamp_min(0))
    damped, lack = before.damped - undone / 2, lack - undone
    undone = torch.minimum(before.added, (-lack).clamp_min(0))
    added, lack = before.added - undone, lack + undone
    return Correction(added + lack.clamp_min(0), (damped + (-lack).clamp_min(0) / 2).clamp_max(0.5))


def fit_fluctuations(
    lucie: Lucie,
    data: EmulatorData,
    settings: FluctuationSettings,
    progress: Callable[[str, float], None] = lambda text, fraction: None,
) -> Lucie:
    """``lucie`` with fluctuations; free runs begin with states of ``data``, whose variance they are to have. Those that
    it has already are gone on from.

    BundleError for an emulator without an attractor.
    """
    if lucie.attractor is None:
        raise BundleError("expected an emulator with an attractor (dacycle train emulator --attractor); it has none")
    found, attractor = copy.deepcopy(lucie).eval(), lucie.attractor
    found.arguments = replace(lucie.arguments, fluctuations=True)
    group, roots = groups(len(attractor.vectors)), _roots(attractor)
    climate = _climate(lucie, attractor, data, group)
    free = _mean(attractor.harmonics.degree.float()[None], group)[0] >= settings.first_degree
    runs = _Runs(found, attractor, data, settings)
    now, total = Correction.known(lucie.fluctuations, climate, group), Correction.known(None, climate, group)
    counted, half = 0, settings.rounds // 2
    for number in range(settings.rounds):
        variance, forgotten = runs.further(_fluctuations(now, climate, group, roots), group)
        power = variance / climate
        worst = f"variance relative to the climate's {power[:, free].min():.2f} to {power[:, free].max():.2f}"
        progress(worst, (number + 1) / settings.rounds)
        power = torch.where(free, power, torch.ones_like(power))
        now = corrected(now, power, forgotten * settings.rate / (1 if number < half else 2))
        if number >= half:
            counted += 1
            total = Correction(total.added + now.added, total.damped + now.damped)
    mean = Correction(total.added / counted, total.damped / counted)
    found.fluctuations = _fluctuations(mean, climate, group, roots)
    return found


class _Runs:
    """Free runs that go on from round to round."""

    def __init__(self, lucie: Lucie, attractor: Attractor, data: EmulatorData, settings: FluctuationSettings) -> None:
        self._lucie, self._attractor, self._settings = lucie, attractor, settings
        self._generator = torch.Generator().manual_seed(settings.seed)
        chosen = np.linspace(0, len(data.times) - 1, settings.members).astype(int)
        self._z = lucie.standardise(torch.from_numpy(data.states[chosen]))
        self._times = [data.times[k] for k in chosen]

    @torch.no_grad()
    def further(self, fluctuations: Fluctuations, group: Tensor) -> tuple[Tensor, Tensor]:
        """One more round: the mean variance (C, groups), and 1 - rho^2 of what is left after a step (C, groups), for
        waves that travel as for those that stand.

        A mean departure from the climate is not variance: it neither stands for fluctuations nor against them.
        """
        steps, settling = (round(days * 24 / STEP_HOURS) for days in (self._settings.days, self._settings.settling))
        power, along, across, first = torch.zeros(()), torch.zeros(()), torch.zeros(()), torch.zeros(())
        before: Tensor | None = None
        turn = _quarter_turn(len(self._attractor.vectors))
        other = torch.arange(len(turn)) + turn
        self._lucie.fluctuations = fluctuations
        for step in range(steps):
            self._z, _ = self._lucie.advance(self._z, self._times, self._generator)
            self._times = [time + timedelta(hours=STEP_HOURS) for time in self._times]
            if step < settling:
                continue
            a = self._attractor.anomaly(self._z, self._times)
            power, first = power + _mean(a.square().mean(0), group), first + a.mean(0)
            if before is not None:
                along = along + _mean((a * before).mean(0), group)
                across = across + _mean((a * before[..., other] * turn).mean(0), group)
            before = a
        if not torch.isfinite(self._z).all():
            raise BundleError("the emulator's free run left all bounds: expected a stable one to fit fluctuations to")
        counted = steps - settling
        standing = _mean((first / counted).square(), group)
        power, along, across = power / counted - standing, along / (counted - 1) - standing, across / (counted - 1)
        share = (along.square() + across.square()) / power.square().clamp_min(1e-30)
        return power, (1 - share).clamp(0.02, 1.0)


def _quarter_turn(degrees: int) -> Tensor:
    """(degrees^2,): from every coefficient to its partner of the same degree and order, from a cosine one on to its
    sine, from a sine one back; it is the sign of a quarter turn, too. 0 for those without a partner."""
    within = torch.arange(degrees**2) - degree_of(degrees) ** 2
    return torch.where(within == 0, 0, torch.where(within % 2 == 1, 1, -1))


def _climate(lucie: Lucie, attractor: Attractor, data: EmulatorData, group: Tensor) -> Tensor:
    """The variances (C, groups) of anomalies from the climate of the date, about their mean."""
    total, count = torch.zeros(2, len(lucie.channels), len(attractor.cell)), 0
    for first in range(0, len(data.times), BATCH):
        part = slice(first, first + BATCH)
        z = lucie.standardise(torch.from_numpy(data.states[part]))
        a = attractor.anomaly(z, data.times[part])
        total += torch.stack([a.sum(0), a.square().sum(0)])
        count += len(z)
    mean, square = total / count
    return _mean(square - mean.square(), group).clamp_min(1e-30)


def _roots(attractor: Attractor) -> Tensor:
    """Of the climate's correlation of the channels (L, C, C)."""
    of_degree = _mean(attractor.variances, attractor.harmonics.degree).T  # (L, C), along the eigenvectors
    covariance = (attractor.vectors * of_degree[:, None]) @ attractor.vectors.transpose(-1, -2)
    std = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    return (attractor.vectors * of_degree.sqrt()[:, None]) / std[..., None]


def _fluctuations(correction: Correction, climate: Tensor, group: Tensor, roots: Tensor) -> Fluctuations:
    return Fluctuations((1 - correction.damped)[:, group], (correction.added * climate)[:, group], roots)


def _mean(values: Tensor, group: Tensor) -> Tensor:
    """Means over the groups of coefficients: (C, L*L) -> (C, groups)."""
    count = torch.bincount(group)
    return values.new_zeros(len(values), len(count)).index_add_(1, group, values) / count
