"""How far the two parts of the prior's denoiser are to be believed, degree by degree.

    D = (1 + a) G + (1 + b) R,   R: what the network adds to the Gaussian denoiser G,

with a and b for every noise level, channel and spherical-harmonic degree, found on states that the network was not
trained on (``training/response.py``). The loss that a network is trained by is dominated by small scales; at large
ones, of which there are few, it learns part of the training states by heart, and its output is noise where the answer
is known from x alone. The regression of truth on G and R takes that out. It also makes the error of D uncorrelated
with G and R, and so with x per degree, without which the flow from noise to a sample does not keep the energy:
d<x^2> / d ln sigma = 2 <x (x - D)> is right only where <x D> = <x x0>.
"""

import torch
from torch import Tensor, nn

__all__ = ["Response"]


class Response(nn.Module):
    """``levels`` (k,) ascending; ``gaussian`` a and ``network`` b, both (k, channels, degrees)."""

    levels: Tensor
    gaussian: Tensor
    network: Tensor

    def __init__(self, levels: Tensor, gaussian: Tensor, network: Tensor) -> None:
        super().__init__()
        if gaussian.shape != network.shape or len(levels) != len(gaussian):
            raise ValueError(
                f"expected a response of both parts at {len(levels)} levels; got {tuple(gaussian.shape)} and "
                f"{tuple(network.shape)}"
            )
        self.register_buffer("levels", levels.float())
        self.register_buffer("gaussian", gaussian.float())
        self.register_buffer("network", network.float())

    def at(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """a and b at ``sigma`` (n,), each (n, channels, degrees): linear in ln sigma, beyond the ends as there."""
        inside = sigma.clamp(float(self.levels[0]), float(self.levels[-1])).log()
        known = self.levels.log()
        above = torch.searchsorted(known, inside).clamp(1, len(known) - 1)
        share = ((inside - known[above - 1]) / (known[above] - known[above - 1]))[:, None, None]
        a, b = (part[above - 1].lerp(part[above], share) for part in (self.gaussian, self.network))
        return a, b
