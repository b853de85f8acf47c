"""Coefficients of harmonics seen at places: values of channels there, their adjoint, and covariances between places.

At a place a state's channel is what the harmonics' row y makes of its own coefficients, a_c y'. In control variables
(``balance.py``) a wind is that times n, and what the height's differences to the east and to the north add:

    n a_w y' + c_0 a_z y' + c_1 a_z (y_east - y_west)' + c_2 a_z (y_north - y_south)'

so that a place has three rows, and every wind four terms. Within the cell around a place the coefficients are taken as
constant, which only the operators that use covariances see.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance, neighbours
from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = ["BalancedPlaces", "Places"]

# So many places at a time are worked on in the processor's cache.
ROWS = 8
Pairs = Sequence[tuple[int, int]]
"""Of channels."""
Term = tuple[int, int]
"""A channel, and the kind of row that its coefficients are seen through: the place's, or a difference's."""
TERMS = ((False, 0), (True, 0), (True, 1), (True, 2))
"""Of a wind: whether of its height's coefficients, and the kind of row."""


class Places:
    """``corners`` and ``interpolation`` (places, 4), on the flattened grid; interpolation adds up to one."""

    def __init__(self, prior: GaussianPrior, corners: Tensor, interpolation: Tensor) -> None:
        self._orders = [2 * degree + 1 for degree in range(prior.harmonics.lmax)]
        self._rows = prior.harmonics.at_corners(corners, interpolation) / prior.scale  # (places, L*L)

    def __len__(self) -> int:
        return len(self._rows)

    def values(self, a: Tensor) -> Tensor:
        """Coefficients (m, channels, l*l) -> (m, channels, places)."""
        return a @ self._rows[:, : a.shape[-1]].T

    def adjoint(self, at_places: Tensor, count: int) -> Tensor:
        """(m, channels, places) -> the first ``count`` coefficients (m, channels, count)."""
        return at_places @ self._rows[:, :count]

    def variance(self, covariance: Tensor) -> Tensor:
        """(channels, places) of the values, for ``covariance`` (degrees, channels, channels)."""
        return covariance.diagonal(dim1=1, dim2=2).T @ self._grams[0, 0, : len(covariance)]

    def rest(self, rest: Tensor) -> Tensor:
        """(channels, places): variance of a white field of variance ``rest`` (channels,), for one point of the grid."""
        return rest[:, None].expand(-1, len(self))

    @cached_property
    def kernel(self) -> Tensor:
        """For each degree the products of the places' harmonics, (L, places * places)."""
        return torch.stack([(part @ part.T).flatten() for part in self._split(self._rows)])

    def blocks(self, pairs: Pairs, covariance: Tensor, near: "Near | None", some: slice) -> Tensor:
        """Covariances (pairs, some, places) of the pairs' channels between ``some`` places and all.

        One product of what each pair of channels has per degree with what two places have.
        """
        both = torch.tensor(pairs).T
        of_pairs = _of_pairs(covariance, near, both[0], both[1])
        kernel = self.kernel.view(-1, len(self), len(self))
        found = [of_pairs @ _features(kernel[:, rows], near, rows) for rows in _portions(some, len(self))]
        return torch.cat([block.view(len(pairs), -1, len(self)) for block in found], 1)

    def _split(self, rows: Tensor) -> tuple[Tensor, ...]:
        return torch.split(rows, self._orders, 1)

    @cached_property
    def _grams(self) -> Tensor:
        """Per degree and place the products of its rows of two kinds, (kinds, kinds, L, places)."""
        kinds = torch.stack(self._kinds)
        return torch.stack(
            [torch.einsum("ipk,jpk->ijp", part, part) for part in torch.split(kinds, self._orders, 2)], 2
        )

    @property
    def _kinds(self) -> tuple[Tensor, ...]:
        """The rows of a place, each (places, L*L)."""
        return (self._rows,)


class Near:
    """What covariances have more, Q Q' with Q = sum_k u_k R_k: ``roots`` R (nodes, degrees, channels, channels),
    symmetric, and ``weights`` u (nodes, places)."""

    def __init__(self, roots: Tensor, weights: Tensor) -> None:
        self.degrees, self.weights = roots.shape[1], weights
        self.products = torch.einsum("nlce,mled->cdnml", roots, roots)


class BalancedPlaces(Places):
    """Of control variables."""

    def __init__(self, prior: GaussianPrior, corners: Tensor, interpolation: Tensor, balance: Balance) -> None:
        super().__init__(prior, corners, interpolation)
        east, west, north, south = neighbours(corners, prior.grid.shape)
        twice = torch.cat([interpolation, -interpolation], 1)
        self._east, self._north = (
            prior.harmonics.at_corners(torch.cat(sides, 1), twice) / prior.scale
            for sides in ((east, west), (north, south))
        )
        self._winds, self._heights = balance.winds, balance.heights
        fields = balance.terms().flatten(-2)  # (winds, 4, points)
        self._mix = (fields[..., corners] * interpolation).sum(-1)  # n, c_0, c_1, c_2: (winds, 4, places)

    def values(self, a: Tensor) -> Tensor:
        at_places = super().values(a)
        n, own, east, north = self._mix.unbind(1)
        heights, levels, index = self._levels
        above, count = at_places[:, heights], a.shape[-1]
        of_levels = a[:, levels]
        moved = [(of_levels @ rows[:, :count].T)[:, index] for rows in (self._east, self._north)]
        winds = n * at_places[:, self._winds] + own * above + east * moved[0] + north * moved[1]
        at_places[:, self._winds] = winds
        return at_places

    def adjoint(self, at_places: Tensor, count: int) -> Tensor:
        n, own, east, north = self._mix.unbind(1)
        winds, plain = at_places[:, self._winds], at_places.clone()
        plain[:, self._winds] = n * winds
        heights, levels, index = self._levels
        plain.index_add_(1, torch.tensor(heights, device=plain.device), own * winds)
        a = super().adjoint(plain, count)
        for share, rows in ((east, self._east), (north, self._north)):
            of_levels = winds.new_zeros(len(winds), len(levels), len(self))
            of_levels.index_add_(1, torch.tensor(index, device=winds.device), share * winds)
            a[:, levels] += of_levels @ rows[:, :count]
        return a

    def variance(self, covariance: Tensor) -> Tensor:
        found = super().variance(covariance)
        channels = torch.tensor([[w, z, z, z] for w, z in zip(self._winds, self._heights, strict=True)])
        kinds = torch.tensor([kind for _, kind in TERMS])
        grams = self._grams[kinds[:, None], kinds, : len(covariance)]  # (4, 4, degrees, places)
        of_terms = covariance[:, channels[:, :, None], channels[:, None]]  # (degrees, winds, 4, 4)
        shared = torch.einsum("lwij,ijlp->wijp", of_terms, grams)
        found[self._winds] = torch.einsum("wip,wjp,wijp->wp", self._mix, self._mix, shared)
        return found

    def rest(self, rest: Tensor) -> Tensor:
        found = super().rest(rest).clone()
        n, own, east, north = self._mix.square().unbind(1)
        found[self._winds] = n * rest[self._winds, None] + (own + 2 * east + 2 * north) * rest[self._heights, None]
        return found

    def blocks(self, pairs: Pairs, covariance: Tensor, near: Near | None, some: slice) -> Tensor:
        one = torch.ones(len(self), device=covariance.device)
        terms = {c: [((c, 0), one)] for pair in pairs for c in pair}
        for wind, (w, z) in enumerate(zip(self._winds, self._heights, strict=True)):
            terms[w] = self._terms(w, z, wind)
        both = [list(product(terms[c], terms[d])) for c, d in pairs]
        wanted = {(first, second) for each in both for (first, _), (second, _) in each}
        parts = self._parts(wanted, covariance, near, some)
        return torch.stack(
            [
                sum((p[some, None] * parts[first, second] * q for (first, p), (second, q) in each), torch.zeros(()))
                for each in both
            ]
        )

    def _parts(
        self, wanted: "set[tuple[Term, Term]]", covariance: Tensor, near: Near | None, some: slice
    ) -> "dict[tuple[Term, Term], Tensor]":
        """Covariances (some, places) of single terms: a channel's coefficients seen through one kind of row."""
        found: dict[tuple[Term, Term], Tensor] = {}
        portions = _portions(some, len(self))
        for first, second in product(range(3), repeat=2):
            chosen = sorted(pair for pair in wanted if (pair[0][1], pair[1][1]) == (first, second))
            channels = torch.tensor([[one[0], other[0]] for one, other in chosen], dtype=torch.long).view(-1, 2)
            of_pairs = _of_pairs(covariance, near, *channels.T)
            sides = zip(self._split(self._kinds[first][some]), self._split(self._kinds[second]), strict=True)
            kernel = torch.stack([one @ other.T for one, other in sides])
            blocks = []
            for rows in portions:
                here = kernel[:, rows.start - some.start : rows.stop - some.start]
                block = of_pairs @ _features(here, near, rows)
                blocks.append(block.view(len(chosen), rows.stop - rows.start, len(self)))
            found.update(zip(chosen, torch.cat(blocks, 1), strict=True))
        return found

    def _terms(self, w: int, z: int, wind: int) -> "list[tuple[Term, Tensor]]":
        """Of a wind: channel and kind of row, with its factor (places,)."""
        of = ((z if of_height else w, kind) for of_height, kind in TERMS)
        return list(zip(of, self._mix[wind], strict=True))

    @cached_property
    def _levels(self) -> tuple[list[int], list[int], list[int]]:
        """The height of every wind, the heights, and which of them each wind has."""
        levels = sorted(set(self._heights))
        return self._heights, levels, [levels.index(z) for z in self._heights]

    @property
    def _kinds(self) -> tuple[Tensor, ...]:
        return self._rows, self._east, self._north


def _of_pairs(covariance: Tensor, near: Near | None, first: Tensor, second: Tensor) -> Tensor:
    """(pairs, features): what each pair of channels has per degree, and of each pair of nodes."""
    even = covariance[:, first, second].T
    return even if near is None else torch.cat([even, near.products[first, second].flatten(1)], 1)


def _features(kernel: Tensor, near: Near | None, rows: slice) -> Tensor:
    """(features, rows * places), for the ``kernel`` (L, rows, places) of some places with all."""
    if near is None:
        return kernel.flatten(1)
    at = near.weights
    both = (at[:, None, rows, None] * at[None, :, None, :])[:, :, None]  # (nodes, nodes, 1, rows, places)
    return torch.cat([kernel.flatten(1), (both * kernel[: near.degrees]).flatten(0, 2).flatten(1)])


def _portions(some: slice, places: int) -> list[slice]:
    last = min(some.stop, places)
    return [slice(k, min(k + ROWS, last)) for k in range(some.start, last, ROWS)]
