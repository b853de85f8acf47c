"""Training the diffusion prior's residual network.

The target is (x0 - G(x)) / s: what the closed-form Gaussian denoiser leaves, in units of its own expected error, so
that the loss is the mean square error relative to the Gaussian prior's, at every noise level alike (1 = no gain).
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dacycle.cycler.assimilation.prior import HIGHEST_LEVEL, DiffusionPrior
from dacycle.cycler.training.frames import Frames, batches, thinned
from dacycle.cycler.training.mirror import Mirror
from dacycle.cycler.training.optimiser import Optimiser
from dacycle.cycler.training.widening import widened
from dacycle.errors import BundleError

__all__ = ["LEVELS", "PriorSettings", "add_gradient", "begin_from", "errors_seen", "evaluate", "train_prior"]

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class PriorSettings:
    """Training budget and optimiser. Noise levels are drawn log-uniformly between ``lowest`` and ``highest``.

    A batch goes through the network in ``accumulate`` parts, whose gradients are added: the same step in less memory.
    """

    seconds: float
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    lowest: float = 0.015
    highest: float = HIGHEST_LEVEL
    average: float = 0.997
    seed: int = 0
    checkpoint_seconds: float = 480.0


def train_prior(
    prior: DiffusionPrior,
    frames: Frames,
    validation: Frames,
    settings: PriorSettings,
    checkpoint: Path,
    progress: Callable[[str], None],
    mirror: Mirror | None = None,
) -> DiffusionPrior:
    """Train within the time budget and return the exponential average of the weights.

    Resumes from ``checkpoint`` where it exists; the learning rate follows a cosine over the budget of time. With a
    ``mirror`` every other batch, by chance, is of the world in it. Computes where ``prior`` is; ``frames`` stay.
    """
    device = prior.statics.device
    generator = torch.Generator(device).manual_seed(settings.seed)
    network = prior.network
    average = {key: value.clone() for key, value in network.state_dict().items()}
    optimiser = Optimiser(network, settings.learning_rate, settings.weight_decay)
    spent, step = 0.0, 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        average = {key: value.to(device) for key, value in saved["average"].items()}
        spent, step = saved["spent"], saved["step"]
        generator.set_state(saved["generator"])
    begun, saved_at, losses = time.monotonic() - spent, spent, []
    while (spent := time.monotonic() - begun) < settings.seconds:
        optimiser.pace(_rate(settings, step, spent))
        network.zero_grad(set_to_none=True)
        losses.append(add_gradient(prior, frames, settings, generator, mirror))
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        _update(average, network.state_dict(), min(settings.average, step / (step + 10)))
        if spent - saved_at > settings.checkpoint_seconds:
            saved_at = spent
            current = {key: value.clone() for key, value in network.state_dict().items()}
            state = {
                "network": current,
                "optimiser": optimiser.state_dict(),
                "average": average,
                "spent": spent,
                "step": step,
                "generator": generator.get_state(),
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            paused = time.monotonic()  # the budget is for training: a slow validation must not eat it up
            ratios = evaluate(_with(prior, average), validation)
            _with(prior, current)
            begun += time.monotonic() - paused
            told = " ".join(f"{level:g}:{ratio:.2f}" for level, ratio in zip(LEVELS, ratios, strict=True))
            progress(f"{spent:.0f} s, step {step}, loss {sum(losses[-50:]) / len(losses[-50:]):.3f}, validation {told}")
    return _with(prior, average)


def add_gradient(
    prior: DiffusionPrior,
    frames: Frames,
    settings: PriorSettings,
    generator: torch.Generator,
    mirror: Mirror | None = None,
) -> float:
    """Draw a batch and add its loss's gradient to that of the network's parameters; returns the loss."""
    x0, season, sigma = _batch(frames, settings, generator)
    if mirror is not None and torch.rand((), generator=generator, device=generator.device) < 0.5:
        prior, x0, season = mirror.prior, mirror.states(x0), mirror.season(season)
    total = 0.0
    parts = (each.tensor_split(settings.accumulate) for each in (x0, season, sigma))
    for states, seasons, levels in zip(*parts, strict=True):
        loss = _loss(prior, states, seasons, levels, generator) * (len(states) / len(x0))
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def begin_from(prior: DiffusionPrior, path: Path) -> None:
    """Give ``prior`` the network of another one, from its ``prior.safetensors``, widened where ``prior``'s is wider.

    BundleError where it does not fit.
    """
    try:
        weights = load_file(path)
        own = {key.removeprefix("network."): value for key, value in weights.items() if key.startswith("network.")}
        prior.network.load_state_dict(widened(own, prior.network.state_dict()))
    except (OSError, SafetensorError, ValueError) as error:
        told = " ".join(str(error).split())[:300]
        expected = "expected a prior of the same --fold and --blocks, with --widths that yours are multiples of"
        raise BundleError(f"{path}: {expected}; {told}") from error


def _rate(settings: PriorSettings, step: int, spent: float) -> float:
    """Relative to the settings' own: up over 50 steps, down along a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, spent / settings.seconds)))
    return min(1.0, (step + 1) / 50) * max(0.02, cosine)


def _batch(frames: Frames, settings: PriorSettings, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    n, device = settings.batch, generator.device
    index = torch.randint(len(frames), (n,), generator=generator, device=device).cpu()
    low, high = math.log(settings.lowest), math.log(settings.highest)
    # One level per stratum: the loss of a batch varies less.
    strata = (torch.arange(n, device=device) + torch.rand(n, generator=generator, device=device)) / n
    x0, season = frames.values[index].to(device).float(), frames.season[index].to(device)
    return x0, season, torch.exp(low + (high - low) * strata)


def _loss(prior: DiffusionPrior, x0: Tensor, season: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    gaussian = prior.gaussian
    x = x0 + sigma[:, None, None, None] * gaussian.noise(x0, generator)
    scale = gaussian.posterior_std(sigma)[..., None, None]
    error = (prior(x, sigma, season) - x0) / scale
    loss: Tensor = (error.square() * gaussian.weights).mean()
    return loss


def _update(average: dict[str, Tensor], current: dict[str, Tensor], keep: float) -> None:
    for key, value in current.items():
        average[key].lerp_(value.detach(), 1 - keep)


def _with(prior: DiffusionPrior, weights: dict[str, Tensor]) -> DiffusionPrior:
    prior.network.load_state_dict(weights)
    return prior


def evaluate(prior: DiffusionPrior, validation: Frames, count: int = 24, seed: int = 1) -> list[float]:
    """Denoising mean square error relative to the Gaussian prior's own, at each of LEVELS, on unseen frames: of the
    prior's variables, all channels alike."""
    return errors_seen(prior, validation, [lambda y: y], count, seed)[0]


@torch.no_grad()
def errors_seen(
    prior: DiffusionPrior, validation: Frames, views: Sequence[Callable[[Tensor], Tensor]], count: int, seed: int = 1
) -> list[list[float]]:
    """The same of what each of ``views`` makes of the prior's variables (n, channels, nlat, nlon)."""
    gaussian, chosen = prior.gaussian, thinned(validation, count)
    ratios: list[list[float]] = [[] for _ in views]
    for level in LEVELS:
        generator = torch.Generator().manual_seed(seed)
        errors = torch.zeros(len(views), 2)
        for x0, season in batches(chosen, 4, prior.statics.device):
            sigma = torch.full((len(x0),), level, device=x0.device)
            x = x0 + level * gaussian.noise(x0, generator)
            for k, estimate in enumerate((prior(x, sigma, season), gaussian.denoise(x, sigma))):
                for total, view in zip(errors, views, strict=True):
                    total[k] += ((view(estimate) - view(x0)).square() * gaussian.weights).mean().item()
        for found, (ours, theirs) in zip(ratios, errors.tolist(), strict=True):
            found.append(ours / theirs)
    return ratios
