"""A larger network that computes what a smaller one does: training goes on instead of beginning again.

Net2WiderNet (Chen, Goodfellow and Shlens 2016, arXiv 1511.05641): every channel is doubled (or more), and what reads
the copies shares the old weights out among them. Copies stand side by side, so that group norms see the statistics they
saw before. The shares are unequal at random, or the copies would learn alike for ever. Inputs that the smaller network
had not count for nothing at first, nor does what it knew not of places.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["widened"]

UNEVEN = 0.5
"""Standard deviation of what one copy's weight gains and the others lose, over that of the weights."""


def widened(weights: Mapping[str, Tensor], like: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """``weights`` of a network in the shapes of ``like``, of the same names, whose widths are multiples of its own.

    The first two dimensions of a tensor, outputs and inputs, may grow; ``like`` may have inputs and layers of places
    besides, still untrained. ValueError where names or shapes do not allow it.
    """
    besides = {name: value for name, value in like.items() if name not in weights and _of_places(name)}
    if other := weights.keys() ^ (like.keys() - besides.keys()):
        raise ValueError(f"other layers: {', '.join(sorted(other)[:4])}")
    generator = torch.Generator().manual_seed(seed)
    found = {name: _tensor(name, value, like[name].shape, generator) for name, value in weights.items()}
    return found | besides


def _of_places(name: str) -> bool:
    return name.startswith("locate.") or ".place." in name


def _tensor(name: str, value: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if name == "stem.conv.weight":
        more = value.new_zeros(len(value), max(shape[1] - value.shape[1], 0), *value.shape[2:])
        value = torch.cat([value, more], 1)

    def copies(dimension: int) -> int:
        return shape[dimension] // value.shape[dimension] if value.ndim > dimension else 1

    outputs, inputs = copies(0), copies(1)
    grown = [n * (outputs, inputs, 1, 1)[k] for k, n in enumerate(value.shape)]
    if value.ndim != len(shape) or 0 in (outputs, inputs) or grown != list(shape):
        raise ValueError(f"{name}: {tuple(value.shape)} does not grow to {tuple(shape)} by whole factors")
    value = value.float().repeat_interleave(outputs, 0)
    if inputs == 1:
        return value
    moved = torch.randn(*value.shape[:2], inputs, *value.shape[2:], generator=generator)
    moved = UNEVEN * value.std() * (moved - moved.mean(2, keepdim=True))
    return (value.unsqueeze(2) / inputs + moved).flatten(1, 2)
