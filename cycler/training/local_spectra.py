"""How large errors of forecasts are in the places of a node, channel by channel and degree by degree.

Localised pairs (``local_statistics.py``) tell how errors of channels go together, but not how large they are: a product
with weights moves variance between degrees, of a red truth more than of its forecast's error, and the small scales of
the climate's variance are not the same share of it in all places. So sizes are taken from the errors themselves. With
roots blended by weights u_m (``assimilation/background.py``) the error of a channel is

    e = sum_m u_m g_m,    of the g_m the covariance of degree l is s_m(l) s_k(l),

and what u_n e then has in each degree follows from the spectra of the products of two weights, as the pseudo-spectra of
maps that are masked do (Hivon et al. 2002): in space, covariances at a distance are multiplied by how often weights
meet at that distance. The s_m are those with which every node's u_n e has the variance that was seen.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.training.forecast_error import ForecastStatistics, bounded
from dacycle.cycler.training.smoothing import smoothed
from dacycle.emulators.spectral import by_degree

__all__ = ["ErrorSpectra", "resized"]

ROUNDS = 30
FACTORS = (0.1, 4.0)  # bounds of the factor on a standard deviation


@dataclass(frozen=True)
class ErrorSpectra:
    """Sums over the orders of a degree and over pairs: ``error`` (nodes, degrees, channels) of the squares of the
    coefficients of u_n e, and ``overlap`` (nodes, nodes, nodes, more degrees) of the products of those of u_n u_m and
    u_n u_k."""

    error: Tensor
    overlap: Tensor

    @classmethod
    def nothing(cls, nodes: int, degrees: int, channels: int) -> "ErrorSpectra":
        """Of no pair."""
        return cls(torch.zeros(nodes, degrees, channels), torch.zeros(nodes, nodes, nodes, 2 * degrees))

    @classmethod
    def of(cls, prior: GaussianPrior, degrees: int, error: Tensor, weights: Tensor) -> "ErrorSpectra":
        """One pair's: ``error`` (channels, nlat, nlon), ``weights`` (nodes, nlat, nlon)."""
        wide = min(2 * degrees, prior.harmonics.lmax)
        a = prior.analyse(weights[:, None] * error)[..., : degrees**2]
        products = prior.harmonics.analyse(weights[:, None] * weights)[..., : wide**2]
        overlap = torch.zeros(*weights.shape[:1] * 3, 2 * degrees)
        overlap[..., :wide] = _of_degrees(products[:, :, None] * products[:, None])
        return cls(_of_degrees(a.square()).transpose(1, 2), overlap)

    def __add__(self, other: "ErrorSpectra") -> "ErrorSpectra":
        return ErrorSpectra(self.error + other.error, self.overlap + other.overlap)

    def __mul__(self, share: float) -> "ErrorSpectra":
        return ErrorSpectra(share * self.error, share * self.overlap)

    def factors(self, variance: Tensor, worth: float) -> Tensor:
        """(nodes, degrees, channels): on s, whose squares are thought to be ``variance`` (of that shape), and thought
        so by as many pairs as ``worth``."""
        factor = torch.ones_like(variance)
        pairs = float(self.overlap[..., 0].sum()) / (4 * np.pi)  # the weights add up to one
        if pairs <= 0:
            return factor
        s, meet = variance.clamp_min(1e-12).sqrt().double(), _Meeting(self.overlap, variance.shape[1])
        said = self.error.double() + worth / pairs * meet.spectra(s)
        for _ in range(ROUNDS):
            expected = (1 + worth / pairs) * meet.spectra(factor * s)
            # Neighbouring degrees have nearly the same, or rounds would sharpen what is chance.
            factor = smoothed(factor * (said / expected.clamp_min(1e-12)).sqrt()).clamp(*FACTORS)
        return factor.to(variance.dtype)


class _Meeting:
    """What errors with s_m (nodes, degrees, channels) have in every node's places, for given overlaps."""

    def __init__(self, overlap: Tensor, degrees: int) -> None:
        x, weights = np.polynomial.legendre.leggauss(2 * degrees)
        legendre = torch.as_tensor(np.polynomial.legendre.legvander(x, overlap.shape[-1] - 1))  # (x, l)
        self._met = torch.einsum("nmkl,xl->nmkx", overlap.double(), legendre) / (4 * np.pi)
        modes = 2.0 * torch.arange(degrees, dtype=torch.float64) + 1
        self._there = modes / (4 * np.pi) * legendre[:, :degrees]
        self._back = 2 * np.pi * modes * legendre[:, :degrees] * torch.as_tensor(weights)[:, None]

    def spectra(self, s: Tensor) -> Tensor:
        """As ``ErrorSpectra.error``."""
        distant = torch.einsum("mlc,klc,xl->mkxc", s, s, self._there)
        return torch.einsum("nmkx,mkxc,xl->nlc", self._met, distant, self._back)


def resized(
    prior: GaussianPrior, statistics: list[ForecastStatistics], seen: ErrorSpectra, worth: float
) -> list[ForecastStatistics]:
    """The ``statistics`` of every node, their errors as large as they were ``seen`` to be; ``worth``: as many pairs as
    what they say of sizes themselves counts for."""
    variance = torch.stack([of_node.covariance.diagonal(dim1=1, dim2=2) for of_node in statistics])
    factors = seen.factors(variance, worth)
    return [
        ForecastStatistics(of_node.slope, bounded(prior, factor[..., None] * of_node.covariance * factor[:, None]))
        for of_node, factor in zip(statistics, factors, strict=True)
    ]


def _of_degrees(a: Tensor) -> Tensor:
    """Sums over the orders (..., degrees) of what coefficients have (..., degrees^2)."""
    return torch.stack([of_degree.sum(-1) for of_degree in by_degree(a)], -1)
