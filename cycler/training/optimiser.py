"""The optimiser of both networks: Muon for the matrices inside, AdamW for all else.

Muon (K. Jordan 2024; Liu et al., arXiv 2502.16982) makes the step of a weight matrix orthogonal, so that all its
directions learn alike. torch's own takes matrices only: a convolution is handed over as the matrix that it is to its
input patches, a spectral filter as one matrix per degree and part. First and last layers, biases, norms and the
position embedding keep AdamW, as its authors advise.
"""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Optimiser"]

OUTSIDE = ("stem", "head", "gate", "encoder", "decoder", "pos_embed")
FILTER = "filter.filter.weight"  # (inputs, outputs, degrees, real and imaginary part)


class Optimiser:
    """One step of both; ``state_dict`` and ``load_state_dict`` as torch's."""

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.learning_rate = learning_rate
        named = dict(network.named_parameters())
        self._inner = {n: p for n, p in named.items() if p.ndim == 4 and not n.startswith(OUTSIDE)}
        # The same memory as the network's.
        self._matrices = {n: [nn.Parameter(m) for m in _matrices(n, p.data)] for n, p in self._inner.items()}
        others = {n: p for n, p in named.items() if n not in self._inner}
        decayed = {n for n, p in others.items() if n.endswith("weight") and p.ndim > 1}
        groups = [
            {"params": [p for n, p in others.items() if n in decayed], "weight_decay": weight_decay},
            {"params": [p for n, p in others.items() if n not in decayed], "weight_decay": 0.0},
        ]
        matrices = [matrix for of_name in self._matrices.values() for matrix in of_name]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, learning_rate, betas=betas),
            torch.optim.Muon(matrices, learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        ]

    def pace(self, factor: float) -> None:
        """Learning rate from now on, relative to the one given."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = factor * self.learning_rate

    def step(self) -> None:
        """Move the weights along their gradients."""
        for name, parameter in self._inner.items():
            gradient = parameter.grad
            found = [None] * len(self._matrices[name]) if gradient is None else _matrices(name, gradient)
            for matrix, of_matrix in zip(self._matrices[name], found, strict=True):
                matrix.grad = of_matrix
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """To be continued from."""
        return {str(k): part.state_dict() for k, part in enumerate(self._parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue."""
        for k, part in enumerate(self._parts):
            part.load_state_dict(state[str(k)])


def _matrices(name: str, weight: Tensor) -> list[Tensor]:
    """Views of a weight of four axes as the matrices that act on channels."""
    if name.endswith(FILTER):
        return list(weight.flatten(2).unbind(2))
    return [weight.view(len(weight), -1)]
