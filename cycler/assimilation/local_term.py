"""A forecast that knows more in some places than in others.

It is an observation of the same coefficients several times over, once for each of a few error covariances, the nodes;
what they say is blended in space by weights u_n(place) that add up to one (``local_error.py`` finds them).
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from dacycle.cycler.assimilation.fields import harmonics_on, regrid
from dacycle.cycler.assimilation.forecast_term import SpectralTerm
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.small_scales import SmallScales
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.spectral import Harmonics

__all__ = ["LocalTerm"]


class LocalTerm:
    """``terms``: the forecast as an observation, one for each node; ``weights`` (nodes, nlat, nlon); ``small``: how the
    scales that it does not reach vary from place to place, where that is known."""

    def __init__(
        self, prior: GaussianPrior, terms: Sequence[SpectralTerm], weights: Tensor, small: SmallScales | None = None
    ) -> None:
        self._prior, self.terms, self.weights, self.small = prior, tuple(terms), weights, small
        self._degrees = len(terms[0].transform)

    def misfit(self, a: Tensor) -> Tensor:
        """values - T a of every node: scaled coefficients (m, channels, >= l*l) -> (m, nodes, channels, l*l)."""
        return torch.stack([term.values - term.apply(a) for term in self.terms], 1)

    def blend(self, a: Tensor) -> Tensor:
        """sum_n u_n a_n: scaled coefficients (m, nodes, channels, l*l) -> (m, channels, k*k), k >= l."""
        narrow, wide, weights = self._small
        return wide.analyse((narrow.synthesise(a) * weights[:, None]).sum(1))

    @cached_property
    def _small(self) -> tuple[Harmonics, Harmonics, Tensor]:
        """On a grid that resolves products of the forecast's degrees with weights of half as many."""
        grid, rows = self._prior.grid, min(2 * ((3 * self._degrees + 3) // 4), self._prior.grid.shape[0])
        small = gaussian_grid(rows, 2 * rows)
        device = self.weights.device
        most = min(rows, self._prior.harmonics.lmax)
        narrow, wide = (harmonics_on(*small.shape, lmax, device) for lmax in (self._degrees, most))
        return narrow, wide, regrid(self.weights.cpu(), grid, small).to(device)
