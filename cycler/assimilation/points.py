"""Soundings as a linear operator on the prior's state, and its factors in spherical-harmonic space.

With x the anomalies divided by their standard deviation s, a sounding value of channel c at a point is

    y - climatology = sum over four corners of w_k s_k x_k + error,

divided here by the error's standard deviation, so that R is the identity. Where the prior's state are control variables
(``balance.py``), H is that after the map from them to x.
"""

from datetime import datetime
from itertools import combinations_with_replacement, pairwise

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.between import Near
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.places import BalancedPlaces, Places
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import bilinear
from dacycle.obs.batch import ObservationBatch

__all__ = ["PointOperator", "point_operator"]


# Above this many values the matrix H V H' is not formed (2 GB): conjugate gradients then apply its factors.
DENSE_LIMIT = 22_000


class PointOperator:
    """H for n values, ordered by channel. ``corners`` and ``weights`` (n, 4) act on the flattened grid.

    ``channel`` (n,) ascending, is the channel's position; ``weights`` hold interpolation, standard deviation and
    1 / sigma.
    """

    def __init__(
        self,
        prior: GaussianPrior,
        channel: Tensor,
        corners: Tensor,
        interpolation: Tensor,
        scale: Tensor,
        balance: Balance | None = None,
    ) -> None:
        """``interpolation`` (n, 4) adds up to one; ``scale`` (n, 4): standard deviation at the corners over sigma.
        ``balance``: between x and the prior's state, where that is not x itself."""
        if bool((channel[1:] < channel[:-1]).any()):
            raise ValueError("a point operator expects its values in ascending order of channel")
        self.channel, self.corners, self.weights = channel, corners, interpolation * scale
        self._interpolation, self._balance = interpolation, balance
        self._channels, self._points = prior.channels, prior.grid.shape[0] * prior.grid.shape[1]
        self._shape = prior.grid.shape
        # In spectral space the rows of harmonics of a distinct point serve all channels and levels of a sounding; the
        # standard deviation is taken as constant over the four corners there, which only the operator V sees.
        self._scale = self.weights.sum(-1)
        keys = torch.cat([corners.double(), interpolation.double().mul(1e6).round()], 1)
        self._place, self._first = _distinct_rows(keys)
        at = corners[self._first], interpolation[self._first]
        self._places = Places(prior, *at) if balance is None else BalancedPlaces(prior, *at, balance)
        self._coefficients = prior.harmonics.lmax**2

    def __len__(self) -> int:
        return len(self.channel)

    def apply(self, state: Tensor) -> Tensor:
        """H: (m, channels, nlat, nlon) -> (m, n)."""
        return self.of_anomalies(state if self._balance is None else self._balance.state(state))

    def of_anomalies(self, x: Tensor) -> Tensor:
        """The same of x, whatever the prior's state is."""
        flat = x.flatten(-2)
        return (flat[:, self.channel[:, None], self.corners] * self.weights).sum(-1)

    def adjoint(self, z: Tensor) -> Tensor:
        """H' z: (m, n) -> (m, channels, nlat, nlon)."""
        flat = z.new_zeros(len(z), self._channels * self._points)
        index = (self.channel[:, None] * self._points + self.corners).flatten()
        flat.index_add_(1, index, (z[..., None] * self.weights).flatten(1))
        x = flat.view(len(z), self._channels, *self._shape)
        return x if self._balance is None else self._balance.state_adjoint(x)

    def interpolate(self, fields: Tensor) -> Tensor:
        """``fields`` (..., nlat, nlon) at the places of the values (..., n)."""
        return (fields.flatten(-2)[..., self.corners] * self._interpolation).sum(-1)

    def of_own_channel(self, fields: Tensor) -> Tensor:
        """``fields`` (channels, nlat, nlon) at the place and of the channel of every value (n,)."""
        return (fields.flatten(-2)[self.channel[:, None], self.corners] * self._interpolation).sum(-1)

    def of_latitude(self, rows: Tensor) -> Tensor:
        """The same of ``rows`` (channels, nlat)."""
        return self.of_own_channel(rows[..., None].expand(-1, -1, self._shape[1]))

    def spectral_adjoint(self, z: Tensor, degrees: int | None = None) -> Tensor:
        """Y' H' z in the prior's scaled coefficients: (m, n) -> (m, channels, L*L), or that many degrees of them."""
        places = len(self._places)
        grouped = z.new_zeros(len(z), self._channels * places)
        grouped.index_add_(1, self.channel * places + self._place, z * self._scale)
        count = self._coefficients if degrees is None else degrees**2
        return self._places.adjoint(grouped.view(len(z), self._channels, places), count)

    def spectral_apply(self, a: Tensor) -> Tensor:
        """H Y a: (m, channels, L*L) -> (m, n); coefficients of higher degrees may be absent."""
        return self._places.values(a)[:, self.channel, self._place] * self._scale

    def variance(self, covariance: Tensor) -> Tensor:
        """(n,): the diagonal of H V H' for ``covariance`` (degrees, channels, channels)."""
        return self._places.variance(covariance)[self.channel, self._place] * self._scale.square()

    def rest(self, rest: Tensor) -> Tensor:
        """(n,): what a white rest of that variance (channels,) beyond the harmonics adds to each value's."""
        return self._places.rest(rest)[self.channel, self._place] * self.weights.square().sum(-1)

    def matrix(
        self,
        covariance: Tensor,
        roots: Tensor | None = None,
        weights: Tensor | None = None,
        size: Tensor | None = None,
    ) -> Tensor:
        """H V H' (n, n) for ``covariance`` (L, channels, channels): block by block over pairs of places.

        V may have more: Q Q' with Q = sum_k u_k R_k, ``roots`` R (nodes, degrees, channels, channels), symmetric, and
        ``weights`` u (nodes, n) of the values, alike for those of one place. ``size`` (n,): a factor on the values that
        see ``covariance`` alone, alike for those of one channel and place.
        """
        near = None if roots is None or weights is None else Near(roots, weights[:, self._first])
        if size is None:
            both = [self._places.parts(covariance, near)]
        else:
            alone = self._places.parts(covariance, None)
            both = [alone] if near is None else [alone, self._places.parts(torch.zeros_like(covariance), near)]
            sizes = torch.ones(self._channels, len(self._places), device=covariance.device)
            sizes[self.channel, self._place] = size
        panels = both[-1].panels()
        # In the order in which the places are worked on, blocks are slices.
        own = [self._values_at(panel.places) for panel in panels]
        ends = np.cumsum([0, *(len(values) for values, _ in own)]).tolist()
        slices = [slice(first, last) for first, last in pairwise(ends)]
        order = torch.cat([self.channel[:0], *(values for values, _ in own)])
        result = torch.empty(len(self), len(self), device=covariance.device)
        for (i, one), (j, other) in combinations_with_replacement(enumerate(panels), 2):
            block = self._places.block(both[0], one, other)
            if size is not None:
                block.mul_(sizes[:, one.places].flatten()[:, None]).mul_(sizes[:, other.places].flatten())
            for rest in both[1:]:
                block += self._places.block(rest, one, other)
            block = block.index_select(0, own[i][1]).index_select(1, own[j][1])
            result[slices[i], slices[j]] = block
            result[slices[j], slices[i]] = block.T
        scale, back = self._scale[order], torch.argsort(order)
        return result.mul_(scale).mul_(scale[:, None]).index_select(0, back).index_select(1, back)

    def _values_at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Which values are of ``places``, and the number of each among all (channels, places)."""
        position = torch.full((len(self._places),), -1, device=places.device)
        position[places] = torch.arange(len(places), device=places.device)
        of_values = position[self._place]
        found = torch.nonzero(of_values >= 0)[:, 0]
        return found, self.channel[found] * len(places) + of_values[found]

    def within(self, rows: Tensor, variance: Tensor) -> Tensor:
        """H V H' (k, k) among the values ``rows`` (k,) of one channel of x, for its ``variance`` per degree (at most
        L,)."""
        places = len(self._places)
        block = (variance @ self._places.kernel[: len(variance)]).view(places, places)
        own, scale = self._place[rows], self._scale[rows]
        return block[own][:, own] * scale * scale[:, None]


def _distinct_rows(keys: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the number of its distinct one, and for each distinct one its first row."""
    distinct, inverse = torch.unique(keys, dim=0, return_inverse=True)
    first = torch.full((len(distinct),), len(keys), device=keys.device)
    first.scatter_reduce_(0, inverse, torch.arange(len(keys), device=keys.device), "amin")
    return inverse, first


def point_operator(
    bundle: Bundle, prior: GaussianPrior, batch: ObservationBatch, time: datetime, balance: Balance | None = None
) -> tuple[PointOperator, Tensor]:
    """The operator for ``batch``'s assimilated values in the bundle's channels, and y - H climatology over sigma."""
    names = [c.name for c in bundle.channels]
    used = batch.assimilated
    used = used.select(np.isin(used.channel, names))
    position = np.array([names.index(name) for name in used.channel], dtype=np.int64)
    order = np.argsort(position, kind="stable")
    used, position = used.select(order), position[order]
    corners, weights = bilinear(bundle.grid, used.lat, used.lon)
    pick = position[:, None], corners
    climatology = bundle.climatology.mean(time).reshape(len(names), -1)
    innovation = (used.value - (climatology[pick] * weights).sum(-1)) / used.sigma
    scale = bundle.climatology.std.reshape(len(names), -1)[pick] / used.sigma[:, None]
    device = prior.rest.device
    operator = PointOperator(
        prior,
        torch.as_tensor(position, device=device),
        torch.as_tensor(corners, device=device),
        torch.as_tensor(weights, dtype=torch.float32, device=device),
        torch.as_tensor(scale, dtype=torch.float32, device=device),
        balance,
    )
    return operator, torch.as_tensor(innovation, dtype=torch.float32, device=device)
