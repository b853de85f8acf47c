"""Soundings as a linear operator on the normalised state, and its factors in spherical-harmonic space.

With x the anomalies divided by their standard deviation s, a sounding value of channel c at a point is

    y - climatology = sum over four corners of w_k s_k x_k + error,

divided here by the error's standard deviation, so that R is the identity.
"""

from datetime import datetime
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.bundle import Bundle
from dacycle.emulators.grid import bilinear
from dacycle.obs.batch import ObservationBatch

__all__ = ["PointOperator", "point_operator"]


# Above this many values the matrix H V H' is not formed (2 GB): conjugate gradients then apply its factors.
DENSE_LIMIT = 22_000
# When it is: so many places at a time are worked on in the processor's cache, and laid down in the matrix. A whole
# number of the former makes the latter.
ROWS, PANEL = 8, 128


class PointOperator:
    """H for n values, ordered by channel. ``corners`` and ``weights`` (n, 4) act on the flattened grid.

    ``channel`` (n,) ascending, is the channel's position; ``weights`` hold interpolation, standard deviation and
    1 / sigma.
    """

    def __init__(
        self, prior: GaussianPrior, channel: Tensor, corners: Tensor, interpolation: Tensor, scale: Tensor
    ) -> None:
        """``interpolation`` (n, 4) adds up to one; ``scale`` (n, 4): standard deviation at the corners over sigma."""
        if bool((channel[1:] < channel[:-1]).any()):
            raise ValueError("a point operator expects its values in ascending order of channel")
        self.channel, self.corners, self.weights = channel, corners, interpolation * scale
        self._interpolation = interpolation
        self._channels, self._points = prior.channels, prior.grid.shape[0] * prior.grid.shape[1]
        self._shape = prior.grid.shape
        # In spectral space one row of harmonics per distinct point serves all channels and levels of a sounding; the
        # standard deviation is taken as constant over the four corners there, which only the operator V sees.
        self._scale = self.weights.sum(-1)
        keys = torch.cat([corners.double(), interpolation.double().mul(1e6).round()], 1)
        self._place, self._first = _distinct_rows(keys)
        at_places = prior.harmonics.at_corners(corners[self._first], interpolation[self._first])
        self._harmonics = at_places / prior.scale  # (places, L*L)
        self._degree = prior.harmonics.degree

    def __len__(self) -> int:
        return len(self.channel)

    def apply(self, x: Tensor) -> Tensor:
        """H x: (m, channels, nlat, nlon) -> (m, n)."""
        flat = x.flatten(-2)
        return (flat[:, self.channel[:, None], self.corners] * self.weights).sum(-1)

    def adjoint(self, z: Tensor) -> Tensor:
        """H' z: (m, n) -> (m, channels, nlat, nlon)."""
        flat = z.new_zeros(len(z), self._channels * self._points)
        index = (self.channel[:, None] * self._points + self.corners).flatten()
        flat.index_add_(1, index, (z[..., None] * self.weights).flatten(1))
        return flat.view(len(z), self._channels, *self._shape)

    def interpolate(self, fields: Tensor) -> Tensor:
        """``fields`` (..., nlat, nlon) at the places of the values (..., n)."""
        return (fields.flatten(-2)[..., self.corners] * self._interpolation).sum(-1)

    def spectral_adjoint(self, z: Tensor, degrees: int | None = None) -> Tensor:
        """Y' H' z in the prior's scaled coefficients: (m, n) -> (m, channels, L*L), or that many degrees of them."""
        harmonics = self._harmonics if degrees is None else self._harmonics[:, : degrees**2]
        places = len(self._harmonics)
        grouped = z.new_zeros(len(z), self._channels * places)
        grouped.index_add_(1, self.channel * places + self._place, z * self._scale)
        return grouped.view(len(z), self._channels, places) @ harmonics

    def spectral_apply(self, a: Tensor) -> Tensor:
        """H Y a: (m, channels, L*L) -> (m, n); coefficients of higher degrees may be absent."""
        at_places = a @ self._harmonics[:, : a.shape[-1]].T
        return at_places[:, self.channel, self._place] * self._scale

    @cached_property
    def _per_degree(self) -> Tensor:
        """For each degree the products of the places' harmonics, (L, places * places)."""
        parts = torch.split(self._harmonics, torch.bincount(self._degree).tolist(), 1)
        places = len(self._harmonics)
        products = self._harmonics.new_empty(len(parts), places, places)
        for part, product in zip(parts, products, strict=True):
            torch.matmul(part, part.T, out=product)
        return products.flatten(1)

    def matrix(self, covariance: Tensor, roots: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """H V H' (n, n) for ``covariance`` (L, channels, channels): block by block over pairs of channels.

        V may have more: Q Q' with Q = sum_k u_k R_k, ``roots`` R (nodes, degrees, channels, channels), symmetric, and
        ``weights`` u (nodes, n) of the values, alike for those of one place.
        """
        count = torch.bincount(self.channel, minlength=self._channels).tolist()
        own = torch.split(self._place, count)
        result = torch.empty(len(self), len(self), device=covariance.device)
        parts = [torch.split(row, count, 1) for row in torch.split(result, count)]
        pairs = torch.triu_indices(self._channels, self._channels)
        numbered = [(c, d, k) for k, (c, d) in enumerate(pairs.T.tolist()) if count[c] and count[d]]
        of_pairs, at, degrees, places = covariance[:, pairs[0], pairs[1]].T, None, 0, len(self._harmonics)
        if roots is not None and weights is not None:
            near = torch.einsum("nlce,mled->cdnml", roots, roots)[pairs[0], pairs[1]]
            of_pairs, at, degrees = torch.cat([of_pairs, near.flatten(1)], 1), weights[:, self._first], roots.shape[1]
        for first in range(0, places, PANEL):
            some = (slice(k, k + ROWS) for k in range(first, min(first + PANEL, places), ROWS))
            found = [of_pairs @ self._between_places(rows, at, degrees) for rows in some]
            blocks = torch.cat([block.view(len(of_pairs), -1, places) for block in found], 1)
            here = [torch.nonzero((place >= first) & (place < first + PANEL))[:, 0] for place in own]
            for c, d, k in numbered:
                parts[c][d][here[c]] = blocks[k][own[c][here[c]] - first][:, own[d]]
        for c, d, _ in numbered:
            if d > c:
                parts[d][c].copy_(parts[c][d].T)
        return result.mul_(self._scale).mul_(self._scale[:, None])

    def _between_places(self, rows: slice, at: Tensor | None, degrees: int) -> Tensor:
        """What the places ``rows`` and all places have together of each degree, (features, rows * places).

        With weights ``at`` (nodes, places), follow the first ``degrees`` of them for each pair of nodes.
        """
        kernel = self._per_degree.view(-1, len(self._harmonics), len(self._harmonics))[:, rows]
        if at is None:
            return kernel.flatten(1)
        both = (at[:, None, rows, None] * at[None, :, None, :])[:, :, None]  # (nodes, nodes, 1, rows, places)
        return torch.cat([kernel.flatten(1), (both * kernel[:degrees]).flatten(0, 2).flatten(1)])

    def within(self, rows: Tensor, variance: Tensor) -> Tensor:
        """H V H' (k, k) among the values ``rows`` (k,) of one channel, for its ``variance`` per degree (at most L,)."""
        places = len(self._harmonics)
        block = (variance @ self._per_degree[: len(variance)]).view(places, places)
        own, scale = self._place[rows], self._scale[rows]
        return block[own][:, own] * scale * scale[:, None]


def _distinct_rows(keys: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the number of its distinct one, and for each distinct one its first row."""
    distinct, inverse = torch.unique(keys, dim=0, return_inverse=True)
    first = torch.full((len(distinct),), len(keys), device=keys.device)
    first.scatter_reduce_(0, inverse, torch.arange(len(keys), device=keys.device), "amin")
    return inverse, first


def point_operator(
    bundle: Bundle, prior: GaussianPrior, batch: ObservationBatch, time: datetime
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
    )
    return operator, torch.as_tensor(innovation, dtype=torch.float32, device=device)
