"""What a mean forecast loses of the small scales, given back at random.

A network trained for the least error says the mean of what may follow. Where it cannot know, the mean has less variance
than any state, most so at small scales; over many steps they fade. As in stochastic models (Hasselmann 1976; the
backscatter of Shutts 2005), a step of a free run therefore ends with

    a <- kept a + sqrt(added) (S w),    w white,

for the spherical-harmonic coefficients a of every channel's anomaly from the climate; S, a root of the climate's
correlation of the channels per degree, keeps wind and mass together. ``added`` and ``kept`` are such that a free run
has the variance that the climate has (``training/fluctuations.py`` finds them); where the network itself holds more,
nothing is added and a little less is kept. Forecasts for assimilation go without: there the mean is what is asked for.
"""

import torch
from torch import Tensor, nn

from dacycle.emulators.spectral import degree_of

__all__ = ["Fluctuations"]


class Fluctuations(nn.Module):
    """``kept`` and ``added`` (C, L*L), of every channel and coefficient; ``roots`` S (L, C, C)."""

    kept: Tensor
    added: Tensor
    roots: Tensor
    _degree: Tensor

    def __init__(self, kept: Tensor, added: Tensor, roots: Tensor) -> None:
        super().__init__()
        for name, value in (("kept", kept), ("added", added), ("roots", roots)):
            self.register_buffer(name, value.float())
        self.register_buffer("_degree", degree_of(len(roots)), persistent=False)

    @classmethod
    def none(cls, channels: int, degrees: int) -> "Fluctuations":
        """Those that change nothing; to be filled from a file."""
        shape = channels, degrees**2
        return cls(torch.ones(shape), torch.zeros(shape), torch.eye(channels).repeat(degrees, 1, 1))

    def forward(self, a: Tensor, generator: torch.Generator) -> Tensor:
        """Coefficients (batch, C, L*L) after a step; ``generator``: on the CPU."""
        white = torch.randn(a.shape, generator=generator).to(a.device)
        together = torch.einsum("kcd,ndk->nck", self.roots[self._degree], white)
        return self.kept * a + self.added.sqrt() * together
