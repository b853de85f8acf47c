"""Training of LUCIE: one-step loss first, then rollouts of two to four steps; resumable; the averaged weights count."""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from dacycle.cycler.training.coarse import EmulatorData
from dacycle.cycler.training.emulator_loss import Losses, Targets
from dacycle.cycler.training.emulator_scores import Scores, score
from dacycle.emulators.lucie import Lucie, LucieArguments, Statistics, log_precipitation
from dacycle.errors import BundleError

__all__ = ["EmulatorSettings", "train_emulator"]

Progress = Callable[[str, float], None]
STD_FLOOR = 1e-12


@dataclass(frozen=True)
class EmulatorSettings:
    """How to train. The schedule follows the fraction done, of ``steps`` or, when given, of ``seconds`` of training."""

    network: LucieArguments = field(default_factory=LucieArguments)
    steps: int = 4000
    seconds: float | None = None
    batch: int = 8
    learning_rate: float = 2e-3
    final_rate: float = 0.01
    """The last learning rate as a fraction of the first."""
    warm_up: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.998
    """Decay of the exponential moving average of the weights, per step."""
    rollouts: tuple[tuple[float, int], ...] = ((0.0, 1), (0.65, 2), (0.85, 4))
    """(fraction done, steps per rollout from there on)."""
    regulariser: float = 0.05
    regulariser_from: float = 0.85
    seed: int = 0
    checkpoint_seconds: float = 120.0

    def rollout(self, done: float) -> int:
        """Steps per rollout at a fraction done."""
        return max((since, steps) for since, steps in self.rollouts if since <= done)[1]

    def rate(self, done: float) -> float:
        """Learning rate: linear warm-up, then a cosine down to ``final_rate``."""
        if done < self.warm_up:
            return self.learning_rate * (done / self.warm_up + 1e-3)
        fall = (done - self.warm_up) / (1 - self.warm_up)
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * fall)))


@dataclass
class _State:
    step: int = 0
    drawn: int = 0
    elapsed: float = 0.0


class _World:
    """One dataset, standardised by its own statistics, with the statics that go with it."""

    def __init__(self, data: EmulatorData, settings: EmulatorSettings) -> None:
        self.statistics = statistics_of(data)
        self.lucie = Lucie(data.channels, data.grid, settings.network, self.statistics)
        self.z = self.lucie.standardise(torch.from_numpy(data.states))
        mean, std = self.statistics.precipitation
        self.water = (log_precipitation(torch.from_numpy(data.precipitation)) - mean) / std
        self.insolation = self.lucie.forcings(data.times)
        self.starts = data.starts(max(steps for _, steps in settings.rollouts))

    def targets(self, starts: npt.NDArray[np.int64], steps: int) -> Targets:
        index = torch.from_numpy(starts[None] + np.arange(steps + 1)[:, None])
        return Targets(self.z[index], self.insolation[index[:-1]], self.water[index[1:]])


def statistics_of(data: EmulatorData) -> Statistics:
    """Mean per point; standard deviation of the anomalies and of six-hourly tendencies per channel, area-weighted."""
    mean = data.states.mean(0, dtype=np.float64)
    area = data.grid.weights[:, None]
    variance = np.stack([np.square(data.states[:, c] - mean[c]).mean(0) for c in range(len(mean))])
    before = data.starts(1)
    tendency = np.stack(
        [np.square(data.states[before + 1, c] - data.states[before, c]).mean(0) for c in range(len(mean))]
    )
    std, tendency_std = (np.sqrt((v * area).mean((1, 2)) + STD_FLOOR)[:, None, None] for v in (variance, tendency))
    water = log_precipitation(torch.from_numpy(data.precipitation))
    sun = Lucie(data.channels, data.grid, LucieArguments(embed=1, layers=0)).forcings(data.times[::4])
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


def train_emulator(
    data: Sequence[EmulatorData],
    settings: EmulatorSettings,
    out: Path,
    progress: Progress,
    *,
    validation: EmulatorData | None = None,
    initial: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Scores | None:
    """Train on ``data``; the emulator is that of the first dataset's world, the others only add examples.

    Writes ``out``/emulator.safetensors and ``out``/emulator.json (arguments and scores). A run that finds
    ``out``/training.checkpoint goes on from it. ``initial`` is an emulator.safetensors whose network is the start.
    ``stop`` is asked after each step; when it says so, the state is saved and None returned.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    worlds = [_World(d, settings) for d in data]
    lucie = worlds[0].lucie
    network = lucie.network
    if initial is not None:
        load_network(lucie, initial)
    else:
        torch.nn.init.zeros_(network.decoder[-1].weight)  # the first forecast is persistence
    for world in worlds[1:]:
        world.lucie.network = network
    average = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimiser = torch.optim.AdamW(_groups(network, settings.weight_decay), lr=settings.learning_rate, betas=(0.9, 0.95))
    losses, state = Losses(lucie.grid, settings.regulariser), _State()
    checkpoint = out / "training.checkpoint"
    if checkpoint.exists():
        _restore(checkpoint, network, average, optimiser, state)
    began, last_save, running = time.monotonic() - state.elapsed, time.monotonic(), math.nan
    while (done := _done(state, settings)) < 1.0 and not stop():
        for group in optimiser.param_groups:
            group["lr"] = settings.rate(done)
        steps = settings.rollout(done)
        world, starts = _draw(worlds, state, settings)
        loss = losses.rollout(world.lucie, world.targets(starts, steps), done >= settings.regulariser_from)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss.item()} at step {state.step}; lower the learning rate")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimiser.step()
        decay = min(settings.average, (state.step + 1) / (state.step + 10))
        for name, value in network.named_parameters():
            average[name].lerp_(value.detach(), 1 - decay)
        state.step += 1
        state.elapsed = time.monotonic() - began
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        if state.step % 20 == 0:
            progress(f"step {state.step} of {steps} x 6 h, loss {running:.4f}", _done(state, settings))
        if time.monotonic() - last_save > settings.checkpoint_seconds:
            _save(checkpoint, network, average, optimiser, state)
            last_save = time.monotonic()
    _save(checkpoint, network, average, optimiser, state)
    if _done(state, settings) < 1.0:
        return None
    network.load_state_dict(average, strict=False)
    scores = score(lucie, validation) if validation is not None else None
    _publish(out, lucie, settings, state, scores)
    return scores


def load_network(lucie: Lucie, path: Path) -> None:
    """The weights of the network alone from an emulator.safetensors; the statistics stay those of the data."""
    prefix = "network."
    weights = {k.removeprefix(prefix): v for k, v in load_file(path).items() if k.startswith(prefix)}
    try:
        lucie.network.load_state_dict(weights)
    except RuntimeError as error:
        raise BundleError(f"{path}: expected the weights of {lucie.arguments}; {error}") from error


def _groups(network: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and the position embedding do not."""
    named = list(network.named_parameters())
    matrices = [p for n, p in named if n.endswith("weight") and p.ndim > 1]
    others = [p for n, p in named if not (n.endswith("weight") and p.ndim > 1)]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _done(state: _State, settings: EmulatorSettings) -> float:
    return state.elapsed / settings.seconds if settings.seconds else state.step / settings.steps


def _draw(worlds: list[_World], state: _State, settings: EmulatorSettings) -> tuple[_World, npt.NDArray[np.int64]]:
    """The next batch: worlds in proportion to their sizes, each in seeded random order without replacement.

    A function of (seed, step) and of the count drawn only, so that a resumed run sees the same batches.
    """
    sizes = np.array([len(w.starts) for w in worlds])
    chooser = np.random.default_rng([settings.seed, 1, state.step])
    which = int(chooser.choice(len(worlds), p=sizes / sizes.sum()))
    starts = worlds[which].starts
    position = state.drawn + np.arange(settings.batch)
    state.drawn += settings.batch
    orders = {
        int(epoch): np.random.default_rng([settings.seed, 2, which, int(epoch)]).permutation(starts)
        for epoch in np.unique(position // len(starts))
    }
    return worlds[which], np.array([orders[int(p // len(starts))][p % len(starts)] for p in position])


def _save(
    path: Path, network: torch.nn.Module, average: dict[str, torch.Tensor], optimiser: torch.optim.Optimizer, s: _State
) -> None:
    temporary = path.with_suffix(".tmp")
    content = {"network": network.state_dict(), "average": average, "optimiser": optimiser.state_dict()}
    with temporary.open("wb") as file:
        torch.save({**content, "state": asdict(s)}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _restore(
    path: Path, network: torch.nn.Module, average: dict[str, torch.Tensor], optimiser: torch.optim.Optimizer, s: _State
) -> None:
    content = torch.load(path, weights_only=True)
    try:
        network.load_state_dict(content["network"])
    except RuntimeError as error:
        raise BundleError(f"{path}: expected a checkpoint of the same network; {error}") from error
    average.update(content["average"])
    optimiser.load_state_dict(content["optimiser"])
    s.step, s.drawn, s.elapsed = content["state"]["step"], content["state"]["drawn"], content["state"]["elapsed"]


def _publish(out: Path, lucie: Lucie, settings: EmulatorSettings, state: _State, scores: Scores | None) -> None:
    temporary = out / "emulator.safetensors.tmp"
    save_file({k: v.contiguous() for k, v in lucie.state_dict().items()}, temporary)
    temporary.replace(out / "emulator.safetensors")
    card: dict[str, Any] = {
        "architecture": "lucie",
        "arguments": asdict(lucie.arguments),
        "training": {"steps": state.step, "seconds": round(state.elapsed), "settings": asdict(settings)},
    }
    if scores is not None:
        card["scores"] = {
            f"{hours} h": {
                name: {"rmse": float(scores.emulator[row, i]), "persistence": float(scores.persistence[row, i])}
                for i, name in enumerate(scores.channels)
            }
            for row, hours in enumerate(scores.leads)
        }
    (out / "emulator.json").write_text(json.dumps(card, indent=2) + "\n")
