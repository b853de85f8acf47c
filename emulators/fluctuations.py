"""What a mean forecast loses of the small scales, given back at random.

A network trained for the least error says the mean of what may follow. Where it cannot know, the mean has less variance
than any state, most so at small scales; over many steps they fade. As in stochastic models (Hasselmann 1976; the
backscatter of Shutts 2005), a step of a free run therefore ends with

    b <- kept b + sqrt(added) w,    w white,

for the coefficients b of the anomaly along the attractor's eigenvectors (``attractor.py``). ``added`` and ``kept`` are
such that a free run has the variance that the climate has (``training/fluctuations.py`` finds them); where the network
itself holds more than that, nothing is added and a little less is kept. Forecasts for assimilation go without: there
the mean is what is asked for.
"""

import torch
from torch import Tensor, nn

__all__ = ["Fluctuations"]


class Fluctuations(nn.Module):
    """``kept`` and ``added`` (C, L*L), along the attractor's eigenvectors."""

    kept: Tensor
    added: Tensor

    def __init__(self, kept: Tensor, added: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept.float())
        self.register_buffer("added", added.float())

    @classmethod
    def none(cls, channels: int, degrees: int) -> "Fluctuations":
        """Those that change nothing; to be filled from a file."""
        return cls(torch.ones(channels, degrees**2), torch.zeros(channels, degrees**2))

    def forward(self, b: Tensor, generator: torch.Generator) -> Tensor:
        """Coefficients (batch, C, L*L) after a step; ``generator``: on the CPU."""
        white = torch.randn(b.shape, generator=generator).to(b.device)
        return self.kept * b + self.added.sqrt() * white
