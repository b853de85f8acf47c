"""Training of LUCIE: one-step loss first, then rollouts of two to four steps; resumable; the averaged weights count."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from dacycle.cycler.training.coarse import EmulatorData
from dacycle.cycler.training.emulator_files import TrainingState, load_network, publish
from dacycle.cycler.training.emulator_loss import Losses
from dacycle.cycler.training.emulator_scores import Scores, score
from dacycle.cycler.training.emulator_selection import Judgement, judge
from dacycle.cycler.training.emulator_worlds import NOISE, World, draw
from dacycle.cycler.training.optimiser import Optimiser
from dacycle.cycler.training.season import annual_cycle
from dacycle.emulators.lucie import LucieArguments
from dacycle.emulators.sfno import Sfno

__all__ = ["EmulatorSettings", "train_emulator"]

Progress = Callable[[str, float], None]
REPORT_EVERY = 20  # steps
SMOOTHING = 0.98  # of the reported loss


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
    of_degrees: float = 0.0
    """Weight of the error of every degree, relative to its own change: what the small scales of a free run need."""
    noise: float = 0.0
    """Mean amplitude of the noise on the start of a rollout, as a share of a six-hourly change."""
    select_days: float = 0.0
    """Length of the free run at each validation; the network with the least bias and error is kept. 0: the last one."""
    bfloat16: bool = True
    """Mixed precision in training, twice as fast on recent CPUs; scores and forecasts stay in float32."""
    device: str = "cpu"
    own_share: float | None = None
    """Probability of a batch from the first world; None draws all worlds in proportion to their sizes."""
    season_from_second: bool = False
    """The first world covers a part of the year only; the second one tells what the other seasons are like."""
    validations: int = 8
    """How often the averaged network is scored on the way, evenly spread."""
    seed: int = 0
    checkpoint_seconds: float = 120.0

    def rollout(self, done: float) -> int:
        """Steps per rollout at a fraction done."""
        return max((since, steps) for since, steps in self.rollouts if since <= done)[1]

    def pace(self, done: float) -> float:
        """Learning rate over the given one: linear warm-up, then a cosine down to ``final_rate``."""
        if done < self.warm_up:
            return done / self.warm_up + 1e-3
        fall = (done - self.warm_up) / (1 - self.warm_up)
        return self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * fall))

    def done(self, state: TrainingState) -> float:
        """The fraction done, 1 or more at the end."""
        return state.elapsed / self.seconds if self.seconds else state.step / self.steps


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
    longest = max(steps for _, steps in settings.rollouts)
    year = data[1] if settings.season_from_second else None
    network, device = settings.network, settings.device
    worlds = [World(part, network, longest, year if part is data[0] else None, device) for part in data]
    lucie = worlds[0].lucie
    if initial is not None:
        load_network(lucie, initial)
    else:
        lucie.network.forecast_persistence()
    for world in worlds[1:]:
        world.lucie.network = lucie.network
    state, checkpoint = _begin(lucie.network, settings), out / "training.checkpoint"
    if checkpoint.exists():
        state.restore(checkpoint, device)
    losses = Losses(lucie.grid, settings.regulariser, settings.of_degrees, device)
    watch, climate = _Watch(settings, state, progress), annual_cycle(data[0], year)

    def judge_average(validation: EmulatorData) -> Judgement:
        with _averaged(state):
            judgement = judge(lucie, validation, climate, settings.select_days)
        state.keep_if_best(judgement.value)
        return judgement

    while settings.done(state) < 1.0 and not stop():
        watch.saw(_step(state, worlds, losses, settings))
        if watch.save_due():
            state.save(checkpoint)
        if validation is not None and watch.validation_due():
            watch.say(f"validation: {judge_average(validation).summary()}")
    state.save(checkpoint)
    if settings.done(state) < 1.0:
        return None
    if validation is not None:
        watch.say(f"validation: {judge_average(validation).summary()}")
    lucie.network.load_state_dict(state.best if settings.select_days and state.best else state.average, strict=False)
    scores = score(lucie, validation) if validation is not None else None
    training = {"steps": state.step, "seconds": round(state.elapsed), "settings": asdict(settings)}
    publish(out, lucie, training, None if scores is None else scores.as_dict())
    return scores


def _begin(network: Sfno, settings: EmulatorSettings) -> TrainingState:
    optimiser = Optimiser(network, settings.learning_rate, settings.weight_decay, betas=(0.9, 0.95))
    return TrainingState(network, optimiser, {n: p.detach().clone() for n, p in network.named_parameters()})


def _step(state: TrainingState, worlds: list[World], losses: Losses, settings: EmulatorSettings) -> float:
    """One step of the optimiser and of the average; returns the loss."""
    done = settings.done(state)
    state.optimiser.pace(settings.pace(done))
    world, starts = draw(worlds, settings.own_share, settings.seed, state.step, settings.batch)
    targets = world.targets(starts, settings.rollout(done))
    if settings.noise:
        targets = world.disturb(targets, settings.noise, [settings.seed, NOISE, state.step])
    with torch.autocast(torch.device(settings.device).type, torch.bfloat16, enabled=settings.bfloat16):
        scales = world.scales if settings.of_degrees else None
        loss = losses.rollout(world.lucie, targets, done >= settings.regulariser_from, scales)
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss became {loss.item()} at step {state.step}; lower the learning rate")
    state.network.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip)
    state.optimiser.step()
    decay = min(settings.average, (state.step + 1) / (state.step + 10))
    for name, value in state.network.named_parameters():
        state.average[name].lerp_(value.detach(), 1 - decay)
    state.step += 1
    return loss.item()


@contextmanager
def _averaged(state: TrainingState) -> Iterator[None]:
    """Meanwhile the network has the averaged weights; the training goes on with its own."""
    own = {name: value.detach().clone() for name, value in state.network.named_parameters()}
    state.network.load_state_dict(state.average, strict=False)
    yield
    state.network.load_state_dict(own, strict=False)


class _Watch:
    """The clock of a training, and what it reports."""

    def __init__(self, settings: EmulatorSettings, state: TrainingState, progress: Progress) -> None:
        self.settings, self.state, self.progress = settings, state, progress
        self.began = time.monotonic() - state.elapsed
        self.saved = time.monotonic()
        self.loss = math.nan
        self.validated = int(settings.done(state) * settings.validations)

    def saw(self, loss: float) -> None:
        """Note a step and its loss."""
        self.state.elapsed = time.monotonic() - self.began
        self.loss = loss if math.isnan(self.loss) else SMOOTHING * self.loss + (1 - SMOOTHING) * loss
        if self.state.step % REPORT_EVERY == 0:
            steps = self.settings.rollout(self.settings.done(self.state))
            self.say(f"step {self.state.step}, rollouts of {6 * steps} h, loss {self.loss:.4f}")

    def say(self, text: str) -> None:
        """Pass a text on with the fraction done."""
        self.progress(text, min(1.0, self.settings.done(self.state)))

    def save_due(self) -> bool:
        """Whether the last checkpoint is old enough for another."""
        due = time.monotonic() - self.saved > self.settings.checkpoint_seconds
        if due:
            self.saved = time.monotonic()
        return due

    def validation_due(self) -> bool:
        """Whether another of the evenly spread validations is due; the last one is the result's."""
        count = int(self.settings.done(self.state) * self.settings.validations)
        due = self.validated < count < self.settings.validations
        self.validated = max(count, self.validated)
        return due
