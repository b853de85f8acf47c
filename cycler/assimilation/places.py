"""Coefficients of harmonics seen at places: values of channels there, their adjoint, and covariances between places.

At a place a state's channel is what the harmonics' row y makes of its own coefficients, a_c y'. In control variables
(``balance.py``) a wind is that times n, and what the smoothed height z and its differences to the east and to the north
add:

    n a_w y' + c_0 a_z y' + c_1 a_z (y_east - y_west)' + c_2 a_z (y_north - y_south)'

so that a place has four rows, and every wind four terms: of heights a row has what is kept of every degree. Within
the cell around a place the coefficients, and what is kept, are taken as constant, which only the operators that use
covariances see.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance, neighbours
from dacycle.cycler.assimilation.between import Near, Panel, Parts, Seen
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.emulators.spectral import by_degree

__all__ = ["BalancedPlaces", "Places"]


class Places:
    """``corners`` and ``interpolation`` (places, 4), on the flattened grid; interpolation adds up to one."""

    def __init__(self, prior: GaussianPrior, corners: Tensor, interpolation: Tensor) -> None:
        self._channels = prior.channels
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
        return torch.stack([(part @ part.T).flatten() for part in by_degree(self._rows)])

    def parts(self, covariance: Tensor, near: Near | None) -> Parts:
        """What ``block`` is made of, for ``covariance`` (L, channels, channels) and what else is ``near``."""
        return Parts(self._seen, covariance, near)

    def block(self, parts: Parts, one: Panel, other: Panel) -> Tensor:
        """Covariances (channels * one, channels * other) of the values at two panels of places."""
        channels = self._channels
        block = torch.empty(channels, len(one), channels, len(other), device=self._rows.device)
        for few, of_kinds in parts.between(one, other):
            seen = self._mixed(of_kinds, one.places[few], other.places)
            block[:, few] = seen.view(channels, channels, -1, len(other)).transpose(1, 2)
        return block.flatten(2).flatten(0, 1)

    def _mixed(self, of_kinds: "list[list[Tensor]]", some: Tensor, others: Tensor) -> Tensor:
        """Values' covariances (channels, channels, some * others) from those of coefficients seen through rows."""
        return of_kinds[0][0]

    @cached_property
    def _grams(self) -> Tensor:
        """Per degree and place the products of its rows of two kinds, (kinds, kinds, L, places)."""
        kinds = torch.stack([kind.rows for kind in self._seen])
        return torch.stack([torch.einsum("ipk,jpk->ijp", part, part) for part in by_degree(kinds)], 2)

    @property
    def _seen(self) -> list[Seen]:
        """The rows of a place, of each kind, with the channels whose coefficients are seen through them."""
        return [Seen(self._rows, torch.arange(self._channels, device=self._rows.device))]


class BalancedPlaces(Places):
    """Of control variables."""

    def __init__(self, prior: GaussianPrior, corners: Tensor, interpolation: Tensor, balance: Balance) -> None:
        super().__init__(prior, corners, interpolation)
        east, west, north, south = neighbours(corners, prior.grid.shape)
        twice = torch.cat([interpolation, -interpolation], 1)
        sides = [torch.cat(pair, 1) for pair in ((east, west), (north, south))]
        rows = [self._rows, *(prior.harmonics.at_corners(side, twice) / prior.scale for side in sides)]
        self._smooth = balance.smoothing is not None
        if balance.smoothing is not None:
            kept = balance.smoothing.at(corners, interpolation, prior.harmonics.lmax)
            rows = [each * kept for each in rows]
        self._of_heights = rows  # in the same place, to the east, to the north
        self._winds, (self._levels, self._level) = balance.winds, balance.levels
        fields = balance.terms().flatten(-2)  # (winds, 4, points)
        self._mix = (fields[..., corners] * interpolation).sum(-1)  # n, c_0, c_1, c_2: (winds, 4, places)

    def values(self, a: Tensor) -> Tensor:
        at_places, count = super().values(a), a.shape[-1]
        heights, (n, *shares) = a[:, self._levels], self._mix.unbind(1)
        winds = n * at_places[:, self._winds]
        for share, rows in zip(shares, self._of_heights, strict=True):
            winds += share * (heights @ rows[:, :count].T)[:, self._level]
        at_places[:, self._winds] = winds
        return at_places

    def adjoint(self, at_places: Tensor, count: int) -> Tensor:
        winds, own, (n, *shares) = at_places[:, self._winds], at_places.clone(), self._mix.unbind(1)
        own[:, self._winds] = n * winds
        a, level = super().adjoint(own, count), torch.tensor(self._level, device=winds.device)
        for share, rows in zip(shares, self._of_heights, strict=True):
            of_levels = winds.new_zeros(len(winds), len(self._levels), len(self))
            of_levels.index_add_(1, level, share * winds)
            a[:, self._levels] += of_levels @ rows[:, :count]
        return a

    def variance(self, covariance: Tensor) -> Tensor:
        found = super().variance(covariance)
        channels = torch.tensor([[w] + 3 * [self._levels[k]] for w, k in zip(self._winds, self._level, strict=True)])
        grams = self._grams[:, :, : len(covariance)]  # (4, 4, degrees, places), a kind of row for each term
        of_terms = covariance[:, channels[:, :, None], channels[:, None]]  # (degrees, winds, 4, 4)
        shared = torch.einsum("lwij,ijlp->wijp", of_terms, grams)
        found[self._winds] = torch.einsum("wip,wjp,wijp->wp", self._mix, self._mix, shared)
        return found

    def rest(self, rest: Tensor) -> Tensor:
        found = super().rest(rest).clone()
        n, own, east, north = self._mix.square().unbind(1)
        found[self._winds] = n * rest[self._winds, None]
        if not self._smooth:
            heights = rest[self._levels][self._level, None]
            found[self._winds] += (own + 2 * east + 2 * north) * heights
        return found

    def _mixed(self, of_kinds: "list[list[Tensor]]", some: Tensor, others: Tensor) -> Tensor:
        first, second = (self._mix[..., places] for places in (some, others))
        second = second[:, :, None].expand(-1, -1, len(some), -1).flatten(2)
        first = first[..., None].expand(-1, -1, -1, len(others)).flatten(2)
        columns = [self._of_winds(of_kind, second, 1) for of_kind in of_kinds]
        return self._of_winds(columns, first, 0)

    def _of_winds(self, of_kinds: Sequence[Tensor], mix: Tensor, axis: int) -> Tensor:
        """What channels see, along ``axis``, of what is seen through every kind of row."""
        wind, level = (torch.tensor(k, device=self._rows.device) for k in (self._winds, self._level))
        own, *of_heights = of_kinds
        n, *shares = mix.unbind(1) if axis else mix[:, :, None].unbind(1)
        winds = n * own.index_select(axis, wind)
        for share, seen in zip(shares, of_heights, strict=True):
            winds += share * seen.index_select(axis, level)
        return own.index_copy(axis, wind, winds)

    @property
    def _seen(self) -> list[Seen]:
        levels = torch.tensor(self._levels, device=self._rows.device)
        return [*super()._seen, *(Seen(rows, levels) for rows in self._of_heights)]
