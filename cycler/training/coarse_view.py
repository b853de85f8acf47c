"""What the emulator's grid shows of a state, exactly, and what follows from that for all the rest.

The coarse operator truncates the physical state spectrally. Of the prior's variables y it sees

    H y = T s S y,    S: their state (``balance.py``), s: its standard deviation, T: the coefficients of the low degrees

and so not low degrees of y alone: low degrees of winds follow high ones of heights, and s differs from place to place.
Where y has some covariance V around a mean m,

    E[y | H y = c] = m + V H' (H V H' + R)^-1 (c - H m)

is found by conjugate gradients. R, a hundredth of every channel's variance, lets them end soon; ``exactly`` then puts
right what is left.
"""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.conjugate_gradients import conjugate_gradients
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.training.forecast_error import pool
from dacycle.emulators.grid import Grid
from dacycle.emulators.spectral import Harmonics, by_degree

__all__ = ["CoarseView"]

FLOOR = 0.01
DRAWS = 8  # that say what size H V H' has, per degree


class CoarseView:
    """Coefficients are scaled as ``GaussianPrior``'s; ``k`` of them, all degrees that ``coarse`` resolves."""

    def __init__(self, prior: GaussianPrior, balance: Balance | None, std: Tensor, coarse: Grid) -> None:
        """``std`` (channels, nlat, nlon): of states, on the prior's grid; no ``balance``: y are their anomalies."""
        degrees = min(*coarse.shape, coarse.shape[1] // 2)
        self._prior, self._balance = prior, balance
        self._fine, self._coarse = Harmonics(prior.grid, degrees), Harmonics(coarse, degrees)
        self._unit = std.square().mean((-2, -1), keepdim=True).sqrt()
        self._std = std / self._unit
        smooth = self._coarse.synthesise(self._fine.analyse(self._std))
        self._coarse_std = smooth.clamp_min(float(self._std.min()))
        self._modes = DRAWS * (2.0 * torch.arange(degrees) + 1)

    def values(self, anomalies: Tensor) -> Tensor:
        """c (m, channels, k) of physical ``anomalies`` (m, channels, h, w) on the coarse grid."""
        return self._coarse.analyse(anomalies / self._unit) * self._prior.scale

    def apply(self, y: Tensor) -> Tensor:
        """H y (m, channels, k) of fields (m, channels, nlat, nlon)."""
        return self._fine.analyse(self._state(y) * self._std) * self._prior.scale

    def adjoint(self, z: Tensor) -> Tensor:
        """H' z of (m, channels, k), as coefficients of the prior (m, channels, L*L)."""
        weights = self._prior.weights
        field = self._fine.synthesise(z / self._prior.scale) * self._std * weights
        return self._prior.analyse((field if self._balance is None else self._balance.state_adjoint(field)) / weights)

    def exactly(self, y: Tensor, values: Tensor) -> Tensor:
        """``y`` with a state that looks like ``values`` on the coarse grid, all smaller scales as they were."""
        moved = self._fine.synthesise((values - self.apply(y)) / self._prior.scale) / self._std
        x = self._state(y) + moved
        return x if self._balance is None else self._balance.control(x)

    def conditioned(self, mean: Tensor, values: Tensor, variances: Tensor, tolerance: float) -> Tensor:
        """E[y | c = ``values``] (m, channels, nlat, nlon) around ``mean``.

        ``variances`` (degrees, channels): V's, along the prior's eigenvectors. ``tolerance``: of the solver.
        """
        prior, covariance = self._prior, self._prior.from_eigenvalues(variances)
        size = self._size(variances)
        floor = FLOOR * torch.diag_embed(size.diagonal(dim1=1, dim2=2))
        values_of, vectors = torch.linalg.eigh((size + floor).double())

        whiten = ((vectors * values_of[:, None, :] ** -0.5) @ vectors.transpose(-1, -2)).float()

        def back(z: Tensor) -> Tensor:
            return prior.per_degree(covariance, self.adjoint(self._even(prior.per_degree(whiten, z))))

        def seen(y: Tensor) -> Tensor:
            return prior.per_degree(whiten, self._even(self.apply(y)))

        unknown = whiten @ floor @ whiten

        def system(flat: Tensor) -> Tensor:
            z = flat.view(values.shape)
            return (seen(prior.synthesise(back(z))) + prior.per_degree(unknown, z)).flatten(1)

        r = prior.per_degree(whiten, self._even(values - self.apply(mean))).flatten(1)
        z = conjugate_gradients(system, r, torch.ones_like(r[0]), tolerance).view(values.shape)
        return mean + prior.synthesise(back(z))

    def _state(self, y: Tensor) -> Tensor:
        return y if self._balance is None else self._balance.state(y)

    def _even(self, c: Tensor) -> Tensor:
        """c with the standard deviation taken out again, place by place: of the same size everywhere. Symmetric."""
        return self._coarse.analyse(self._coarse.synthesise(c) / self._coarse_std)

    def _size(self, variances: Tensor) -> Tensor:
        """(degrees, channels, channels): covariance of ``_even`` H y per degree, as some draws have it."""
        prior, generator = self._prior, torch.Generator().manual_seed(0)
        white = torch.randn(DRAWS, prior.channels, prior.harmonics.lmax**2, generator=generator)
        drawn = prior.synthesise(prior.colour(white, variances))
        parts = by_degree(self._even(self.apply(drawn)))
        moments = torch.stack([torch.einsum("ncm,nkm->ck", part, part) for part in parts])
        return torch.stack([pool(moments, self._modes, degree) for degree in range(len(parts))])
