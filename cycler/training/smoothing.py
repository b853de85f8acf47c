"""Neighbours that have nearly the same lend each other what they know."""

import torch
from torch import Tensor

__all__ = ["smoothed"]


def smoothed(values: Tensor, times: int = 1) -> Tensor:
    """A quarter, a half and a quarter of three neighbours along the second axis; at the ends the last counts twice. So
    many ``times``."""
    for _ in range(times):
        wide = torch.cat([values[:, :1], values, values[:, -1:]], 1)
        values = (wide[:, :-2] + 2 * values + wide[:, 2:]) / 4
    return values
