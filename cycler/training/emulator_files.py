"""What a training of the emulator keeps on disk: a checkpoint to resume from, and the result with its scores."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dacycle.cycler.bundle import Bundle, NetworkCard, open_bundle
from dacycle.cycler.training.optimiser import Optimiser
from dacycle.emulators.lucie import Lucie
from dacycle.emulators.registry import load_emulator
from dacycle.errors import BundleError

__all__ = ["TrainingState", "load_network", "open_emulator", "publish", "read_card"]

NETWORK = "network."
SEEING = {"encoder.0.weight", "decoder.0.weight"}  # the layers that see the inputs, in their last columns
SLOPES = ".slopes."


@dataclass
class TrainingState:
    """Everything that changes while training; ``average`` is the moving average of the network's parameters,
    ``best`` the one of the least ``best_value`` at a validation."""

    network: torch.nn.Module
    optimiser: Optimiser
    average: dict[str, torch.Tensor]
    step: int = 0
    elapsed: float = 0.0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_value: float = math.inf

    def save(self, path: Path) -> None:
        """Replace ``path`` in one move, so that a crash leaves the old or the new checkpoint."""
        content = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "step": self.step,
            "elapsed": self.elapsed,
            "best": self.best,
            "best_value": self.best_value,
        }
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def restore(self, path: Path, device: str) -> None:
        """Go on from ``path``; BundleError if it is of another network."""
        content = torch.load(path, map_location=device, weights_only=True)
        try:
            self.network.load_state_dict(content["network"])
        except RuntimeError as error:
            raise BundleError(f"{path}: expected a checkpoint of the same network; {error}") from error
        self.average.update(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.elapsed = content["step"], content["elapsed"]
        self.best, self.best_value = content["best"], content["best_value"]

    def keep_if_best(self, value: float) -> None:
        """Remember the averaged weights if none before them had a lower ``value``."""
        if value < self.best_value:
            self.best_value = value
            self.best = {name: weights.clone() for name, weights in self.average.items()}


def load_network(lucie: Lucie, path: Path) -> None:
    """The weights of the network alone from an emulator.safetensors; the statistics stay those of the data.

    Inputs and slopes that only the new network has count for nothing at first.
    """
    weights = {k.removeprefix(NETWORK): v for k, v in load_file(path).items() if k.startswith(NETWORK)}
    for name in SEEING & weights.keys():
        more = max(lucie.network.get_parameter(name).shape[1] - weights[name].shape[1], 0)
        weights[name] = torch.nn.functional.pad(weights[name], (0, 0, 0, 0, 0, more))
    own = lucie.network.state_dict()
    weights |= {name: own[name] for name in own.keys() - weights.keys() if SLOPES in name}
    try:
        lucie.network.load_state_dict(weights)
    except RuntimeError as error:
        raise BundleError(f"{path}: expected the weights of {lucie.arguments}; {error}") from error


def publish(out: Path, lucie: Lucie, training: Mapping[str, Any], scores: Mapping[str, Any] | None) -> None:
    """Write emulator.safetensors, and emulator.json: architecture, arguments, training, RMSE per lead and channel."""
    temporary = out / "emulator.safetensors.tmp"
    save_file({name: value.cpu().contiguous() for name, value in lucie.state_dict().items()}, temporary)
    temporary.replace(out / "emulator.safetensors")
    card = {"architecture": "lucie", "arguments": asdict(lucie.arguments), "training": dict(training)}
    if scores is not None:
        card["scores"] = dict(scores)
    (out / "emulator.json").write_text(json.dumps(card, indent=2) + "\n")


def open_emulator(location: str, folder: Path | None) -> tuple[Bundle, Lucie, dict[str, Any]]:
    """A bundle and its LUCIE, or the one in ``folder``, a result of ``dacycle train emulator``, in its place; and how
    it was trained. BundleError where it is another emulator."""
    bundle = open_bundle(location)
    told: dict[str, Any] = dict(bundle.card.training.get("emulator", {}))
    if folder is not None:
        network, told = read_card(folder)
        bundle = replace(bundle, path=folder, card=bundle.card.model_copy(update={"emulator": network}))
    emulator = load_emulator(bundle)
    if not isinstance(emulator, Lucie):
        raise BundleError(f"{bundle.path}: expected LUCIE; it has {bundle.card.emulator.architecture}")
    return bundle, emulator, told


def read_card(folder: Path) -> tuple[NetworkCard, dict[str, Any]]:
    """What ``publish`` wrote: the network, and all else that is told of it; BundleError where it is not there."""
    try:
        told = dict(json.loads((folder / "emulator.json").read_text()))
        return NetworkCard(architecture=told.pop("architecture"), arguments=told.pop("arguments")), told
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{folder}: expected the result of `dacycle train emulator`; {error}") from error
