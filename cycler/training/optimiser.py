"""The optimiser of the prior's network: Muon for the convolutions inside, AdamW for all else.

Muon (K. Jordan 2024; Liu et al., arXiv 2502.16982) makes the step of a weight matrix orthogonal, so that all its
directions learn alike. torch's own takes matrices only: a convolution is handed over as the matrix that it is to its
input patches. First and last layers, biases and norms keep AdamW, as its authors advise.
"""

from typing import Any

import torch
from torch import nn

__all__ = ["Optimiser"]


class Optimiser:
    """One step of both; ``state_dict`` and ``load_state_dict`` as torch's."""

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate = learning_rate
        inner = {
            name
            for name, parameter in network.named_parameters()
            if parameter.ndim == 4 and not name.startswith(("stem", "head", "gate"))
        }
        self._convolutions = [p for name, p in network.named_parameters() if name in inner]
        self._matrices = [nn.Parameter(p.data.view(len(p), -1)) for p in self._convolutions]  # the same memory
        others = [p for name, p in network.named_parameters() if name not in inner]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, learning_rate, weight_decay=weight_decay),
            torch.optim.Muon(self._matrices, learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        ]

    def pace(self, factor: float) -> None:
        """Learning rate from now on, relative to the one given."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = factor * self.learning_rate

    def step(self) -> None:
        """Move the weights along their gradients."""
        for matrix, convolution in zip(self._matrices, self._convolutions, strict=True):
            matrix.grad = None if convolution.grad is None else convolution.grad.view(matrix.shape)
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """To be continued from."""
        return {str(k): part.state_dict() for k, part in enumerate(self._parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue."""
        for k, part in enumerate(self._parts):
            part.load_state_dict(state[str(k)])
