"""A wider network that computes what a narrower one does: training goes on instead of beginning again.

Net2WiderNet (Chen, Goodfellow and Shlens 2016, arXiv 1511.05641): every channel is doubled (or more), and what reads
the copies shares the old weights out among them. Copies stand side by side, so that group norms see the statistics they
saw before. The shares are unequal at random, or the copies would learn alike for ever.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["widened"]

UNEVEN = 0.5
"""Standard deviation of what one copy's weight gains and the others lose, over that of the weights."""


def widened(weights: Mapping[str, Tensor], like: Mapping[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """``weights`` of a network in the shapes of ``like``, of the same names, whose widths are multiples of its own.

    The first two dimensions of a tensor, outputs and inputs, may grow. ValueError where names or shapes do not allow
    it.
    """
    if weights.keys() != like.keys():
        raise ValueError(f"other layers: {', '.join(sorted(weights.keys() ^ like.keys())[:4])}")
    generator = torch.Generator().manual_seed(seed)
    return {name: _tensor(name, value, like[name].shape, generator) for name, value in weights.items()}


def _tensor(name: str, value: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
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
