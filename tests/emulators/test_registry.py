"""Emulators by name from a bundle's folder, and the errors of files that do not fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dacycle.channels import DEFAULT_CHANNELS, Channel
from dacycle.emulators.grid import Grid, gaussian_grid
from dacycle.emulators.lucie import Lucie, LucieArguments, Statistics
from dacycle.emulators.registry import T30_ARGUMENTS, T30_CHANNELS, load_emulator, published_lucie
from dacycle.emulators.sfno import Sfno, SfnoShape
from dacycle.errors import BundleError

SMALL = {"embed": 4, "layers": 1}
GRID = gaussian_grid(8, 16)


@dataclass(frozen=True)
class NetworkCard:
    architecture: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Card:
    emulator: NetworkCard


@dataclass(frozen=True)
class FolderBundle:
    path: Path
    card: Card
    channels: tuple[Channel, ...] = DEFAULT_CHANNELS
    coarse: Grid = GRID


def _bundle(path: Path, architecture: str, arguments: Mapping[str, Any], **other: Any) -> FolderBundle:
    return FolderBundle(path, Card(NetworkCard(architecture, arguments)), **other)


def _write(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path / "emulator.safetensors")


@pytest.mark.parametrize("attractor", [False, True])
def test_lucie_comes_back_as_it_was_saved(tmp_path: Path, attractor: bool) -> None:
    torch.manual_seed(0)
    arguments = SMALL | {"attractor": attractor}
    lucie = Lucie(DEFAULT_CHANNELS, GRID, LucieArguments(**arguments))
    if lucie.attractor is not None:
        lucie.attractor.variances += torch.rand_like(lucie.attractor.variances)
    lucie.mean += torch.randn_like(lucie.mean)
    _write(tmp_path, lucie.state_dict())
    loaded = load_emulator(_bundle(tmp_path, "lucie", arguments), "cpu")
    state = torch.rand(2, 17, 8, 16)
    start = datetime(2001, 1, 1, tzinfo=UTC)
    assert torch.equal(loaded.forecast(state, start, 12), lucie.forecast(state, start, 12))
    assert loaded.step_hours == 6
    assert loaded.channels == DEFAULT_CHANNELS


def test_persistence_needs_no_file(tmp_path: Path) -> None:
    state = torch.rand(1, 17, 8, 16)
    emulator = load_emulator(_bundle(tmp_path, "persistence", {}), "cpu")
    assert torch.equal(emulator.forecast(state, datetime(2001, 1, 1, tzinfo=UTC), 6), state)


def test_unknown_name_and_arguments_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"'luciee'.*lucie-t30.*persistence"):
        load_emulator(_bundle(tmp_path, "luciee", {}), "cpu")
    with pytest.raises(BundleError, match=r"\['width'\].*embed"):
        load_emulator(_bundle(tmp_path, "lucie", {"width": 3}), "cpu")


def test_a_checkpoint_of_the_wrong_shape_names_the_tensor(tmp_path: Path) -> None:
    tensors = Lucie(DEFAULT_CHANNELS, gaussian_grid(16, 32), LucieArguments(**SMALL)).state_dict()
    _write(tmp_path, tensors)
    with pytest.raises(
        BundleError, match=r"emulator.safetensors: expected .* of shape \(17, 8, 16\); got \(17, 16, 32\)"
    ):
        load_emulator(_bundle(tmp_path, "lucie", SMALL), "cpu")


def test_missing_tensors_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"emulator.safetensors: expected a safetensors file"):
        load_emulator(_bundle(tmp_path, "lucie", SMALL), "cpu")
    tensors = Lucie(DEFAULT_CHANNELS, GRID, LucieArguments(**SMALL)).state_dict()
    del tensors["network.pos_embed"]
    _write(tmp_path, tensors)
    with pytest.raises(BundleError, match=r"missing: \['network.pos_embed'\]"):
        load_emulator(_bundle(tmp_path, "lucie", SMALL), "cpu")
    (tmp_path / "emulator.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(BundleError, match="expected a safetensors file"):
        load_emulator(_bundle(tmp_path, "lucie", SMALL), "cpu")


def test_published_checkpoint_loads_by_its_names(tmp_path: Path) -> None:
    network = Sfno(SfnoShape(48, 96, inputs=7, outputs=6))
    torch.save(network.state_dict(), tmp_path / "published.pth")
    statistics = Statistics.blank(5, 48, 96)
    lucie = published_lucie(tmp_path / "published.pth", statistics)
    assert sum(p.numel() for p in lucie.network.parameters()) == 4_122_864
    state, start = torch.randn(1, 5, 48, 96), datetime(2001, 1, 1, tzinfo=UTC)
    state[:, 1].clamp_(min=0)
    inputs = torch.cat([state, lucie.forcings([start])[:, None], lucie.orography[None, None]], 1)
    expected = state + network(inputs)[:, :5]
    expected[:, 1].clamp_(min=0)
    assert torch.allclose(lucie.forecast(state, start, 6), expected, atol=1e-5)

    _write(tmp_path, lucie.state_dict())
    bundle = _bundle(tmp_path, "lucie-t30", {}, channels=T30_CHANNELS, coarse=gaussian_grid(48, 96))
    again = load_emulator(bundle, "cpu")
    assert torch.equal(again.forecast(state, start, 6), lucie.forecast(state, start, 6))


def test_published_checkpoint_that_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    path, statistics = tmp_path / "published.pth", Statistics.blank(5, 48, 96)
    torch.save(Sfno(SfnoShape(48, 96, inputs=8, outputs=6)).state_dict(), path)
    with pytest.raises(BundleError, match=r"encoder.0.weight of shape \(72, 7, 1, 1\); got \(72, 8, 1, 1\)|decoder"):
        published_lucie(path, statistics)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(BundleError, match="expected a state_dict"):
        published_lucie(path, statistics)
    torch.save([1, 2], path)
    with pytest.raises(BundleError, match="got list"):
        published_lucie(path, statistics)


def test_t30_wants_its_own_channels_and_grid(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"lucie-t30 needs .*t950.*48, 96"):
        load_emulator(_bundle(tmp_path, "lucie-t30", {}), "cpu")
    assert not T30_ARGUMENTS.advection
