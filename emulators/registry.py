"""Emulators by name, and their weights from a bundle: the only place below ``emulators`` that reads files."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from dacycle.channels import Channel, channel
from dacycle.emulators.emulator import Emulator, Persistence
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.emulators.lucie import Lucie, LucieArguments, Statistics
from dacycle.errors import BundleError

__all__ = ["EMULATORS", "T30_CHANNELS", "EmulatorBundle", "NetworkCard", "load_emulator", "published_lucie"]

WEIGHTS = "emulator.safetensors"
Weights = Mapping[str, torch.Tensor]
Arguments = Mapping[str, Any]

T30_CHANNELS: tuple[Channel, ...] = tuple(channel(name) for name in "t950 q950 u950 v950 sp".split())
"""The published variables in their order; the lowest model level (sigma 0.95) goes by its nearest pressure."""
T30_ARGUMENTS = LucieArguments(embed=72, layers=8, insolation="instantaneous", land=False, advection=False)
T30_SHAPE = (48, 96)


class NetworkCard(Protocol):
    """Which registered emulator, and its arguments."""

    @property
    def architecture(self) -> str: ...

    @property
    def arguments(self) -> Arguments: ...


class BundleCard(Protocol):
    """The part of a bundle's card that is read here."""

    @property
    def emulator(self) -> NetworkCard: ...


class EmulatorBundle(Protocol):
    """The part of a bundle that an emulator needs; ``coarse`` is the emulator's grid."""

    @property
    def path(self) -> Path: ...

    @property
    def card(self) -> BundleCard: ...

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    @property
    def coarse(self) -> Grid: ...


def _persistence(channels: tuple[Channel, ...], grid: Grid, arguments: Arguments, weights: Path) -> Emulator:
    return Persistence(channels, grid)


def _lucie(channels: tuple[Channel, ...], grid: Grid, arguments: Arguments, weights: Path) -> Lucie:
    known = {f.name for f in fields(LucieArguments)}
    if unknown := sorted(set(arguments) - known):
        raise BundleError(f"{weights.parent}: unknown arguments {unknown} of lucie; expected some of {sorted(known)}")
    lucie = Lucie(channels, grid, LucieArguments(**arguments))
    _fill(lucie, _read_safetensors(weights), weights)
    return lucie.eval()


def _lucie_t30(channels: tuple[Channel, ...], grid: Grid, arguments: Arguments, weights: Path) -> Lucie:
    if channels != T30_CHANNELS or grid.shape != T30_SHAPE:
        got = f"{[c.name for c in channels]} on {grid.shape}"
        raise BundleError(f"{weights.parent}: lucie-t30 needs {[c.name for c in T30_CHANNELS]} on {T30_SHAPE}; {got=}")
    lucie = Lucie(channels, grid, T30_ARGUMENTS)
    _fill(lucie, _read_safetensors(weights), weights)
    return lucie.eval()


EMULATORS: dict[str, Callable[[tuple[Channel, ...], Grid, Arguments, Path], Emulator]] = {
    "persistence": _persistence,
    "lucie": _lucie,
    "lucie-t30": _lucie_t30,
}
"""Name -> factory(channels, grid, arguments, weights file)."""


def load_emulator(bundle: EmulatorBundle, device: str = "cpu") -> Emulator:
    """The bundle's emulator with its weights on ``device``; BundleError says what does not fit."""
    card = bundle.card.emulator
    if card.architecture not in EMULATORS:
        raise BundleError(f"{bundle.path}: unknown emulator {card.architecture!r}; expected one of {sorted(EMULATORS)}")
    emulator = EMULATORS[card.architecture](bundle.channels, bundle.coarse, card.arguments, bundle.path / WEIGHTS)
    return emulator.to(device) if isinstance(emulator, Lucie) else emulator


def published_lucie(checkpoint: Path, statistics: Statistics) -> Lucie:
    """The published T30 LUCIE from its ``.pth`` file, which holds the network alone, and its normalisation.

    Per-variable statistics (C, 1, 1) are spread over the points. BundleError names the tensor that does not fit.
    """
    try:
        weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # an unreadable pickle raises nearly anything
        raise BundleError(f"{checkpoint}: expected a state_dict that loads with weights_only; {error}") from error
    if not isinstance(weights, Mapping):
        raise BundleError(f"{checkpoint}: expected a state_dict; got {type(weights).__name__}")
    lucie = Lucie(T30_CHANNELS, gaussian_grid(*T30_SHAPE), T30_ARGUMENTS, statistics)
    _fill(lucie.network, weights, checkpoint)
    return lucie.eval()


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: expected a safetensors file; {error}") from error


def _fill(module: torch.nn.Module, weights: Weights, path: Path) -> None:
    """Load ``weights``, after comparing names and shapes one by one so that the error names the first misfit."""
    expected = module.state_dict()
    missing, surplus = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or surplus:
        raise BundleError(f"{path}: expected other tensors; missing: {missing[:3]}, unexpected: {surplus[:3]}")
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            got = tuple(weights[name].shape)
            raise BundleError(f"{path}: expected {name} of shape {tuple(tensor.shape)}; got {got}")
    module.load_state_dict(dict(weights))
