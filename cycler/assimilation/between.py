"""Covariances between places: H V H', block by block of them.

A place sees a channel's coefficients through rows of harmonics of one or more kinds (``places.py``). For V of a matrix
per degree the covariance of two channels at two places is a sum over degrees: of what the channels have of each, times
the product of the places' rows of it. All pairs of channels are one product of matrices then, worked out for so few
places at a time that the processor's cache holds them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dacycle.emulators.spectral import by_degree

__all__ = ["Near", "Panel", "Parts", "Seen"]

PANEL = 64  # places of which the harmonics' products are made at once
ROWS = 16  # of these, so many at a time with all others of a panel are multiplied by what the channels have


class Near:
    """What covariances have more, Q Q' with Q = sum_k u_k R_k: ``roots`` R (nodes, degrees, channels, channels),
    symmetric, and ``weights`` u (nodes, places)."""

    def __init__(self, roots: Tensor, weights: Tensor) -> None:
        self.degrees, self.weights = roots.shape[1], weights
        self.products = torch.einsum("nlce,mled->cdnml", roots, roots)
        self.nodes = weights != 0


@dataclass(frozen=True)
class Seen:
    """One kind of row: ``rows`` (places, L*L), and the ``channels`` whose coefficients are seen through it."""

    rows: Tensor
    channels: Tensor


class Panel:
    """A few ``places`` with the same ``nodes`` near them: their rows of all kinds, split by degree, and weights."""

    def __init__(self, places: Tensor, seen: Sequence[Seen], near: Near | None) -> None:
        self.places, self.nodes = places, ()
        rows = torch.cat([kind.rows[places] for kind in seen])
        self.rows = by_degree(rows)
        self.weights: Tensor | None = None
        if near is not None:
            self.nodes = tuple(torch.nonzero(near.nodes[:, places[0]])[:, 0].tolist())
            self.weights = near.weights[list(self.nodes)][:, places]

    def __len__(self) -> int:
        return len(self.places)


class Parts:
    """Of V for kinds of rows; ``covariance`` (L, channels, channels) and, where there is more, ``near``."""

    def __init__(self, seen: Sequence[Seen], covariance: Tensor, near: Near | None) -> None:
        self._seen, self._near = seen, near
        self._reach = 0 if near is None else near.degrees
        self._first = int(torch.nonzero(covariance.flatten(1).any(1))[0]) if covariance.any() else len(covariance)
        self._even = covariance[self._first :].permute(1, 2, 0)  # (channels, channels, degrees)
        # Of the degrees that neither part has, no products of harmonics are made.
        begin = 0 if self._reach else self._first
        self._degrees = slice(begin, len(covariance) if self._first < len(covariance) else self._reach)
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...]], list[list[Tensor]]] = {}

    def panels(self) -> list[Panel]:
        """All places, a few at a time."""
        every = torch.arange(len(self._seen[0].rows), device=self._even.device)
        groups = [every]
        if self._near is not None and len(every):
            _, group = torch.unique(self._near.nodes.T, dim=0, return_inverse=True)
            groups = [every[group == k] for k in range(int(group.max()) + 1)]
        parts = [part for group in groups for part in torch.split(group, PANEL) if len(part)]
        return [Panel(part, self._seen, self._near) for part in parts]

    def between(self, one: Panel, other: Panel) -> "Iterator[tuple[slice, list[list[Tensor]]]]":
        """For a few places of ``one`` at a time and all of ``other``: which of ``one``, and for the kinds s and r
        [s][r] their covariances (channels of s, channels of r, few * others)."""
        of_channels = self._of_channels(one.nodes, other.nodes)
        rows = zip(one.rows[self._degrees], other.rows[self._degrees], strict=True)
        kernel = torch.stack([a @ b.T for a, b in rows])
        kernel = kernel.view(len(kernel), len(self._seen), len(one), len(self._seen), len(other))
        for first in range(0, len(one), ROWS):
            few = slice(first, min(first + ROWS, len(one)))
            weights = None
            if one.weights is not None and other.weights is not None:
                u, v = one.weights[:, None, few, None], other.weights[None, :, None, :]
                weights = (u * v).flatten(0, 1)[:, None]  # (pairs of nodes, 1, few, others)
            yield few, [self._of_kind(s, of_kind, kernel[:, s, few], weights) for s, of_kind in enumerate(of_channels)]

    def _of_kind(self, s: int, of_channels: Sequence[Tensor], kernel: Tensor, weights: Tensor | None) -> list[Tensor]:
        """``between`` for rows of the kind ``s`` and each other; ``kernel`` (degrees, few, kinds, others)."""
        found = []
        for r, pairs in enumerate(of_channels):
            seen = pairs @ self._features(kernel[:, :, r], weights)
            found.append(seen.view(len(self._seen[s].channels), len(self._seen[r].channels), -1))
        return found

    def _features(self, kernel: Tensor, weights: Tensor | None) -> Tensor:
        """(features, few * others) that ``_of_channels`` are multiplied with; ``kernel`` (degrees, few, others)."""
        even = kernel[self._first - self._degrees.start :].flatten(1)
        if weights is None:
            return even
        return torch.cat([even, (weights * kernel[: self._reach]).flatten(2).flatten(0, 1)])

    def _of_channels(self, nodes: tuple[int, ...], others: tuple[int, ...]) -> "list[list[Tensor]]":
        """For the kinds s and r [s][r] (channels of s * channels of r, features)."""
        if (nodes, others) not in self._known:
            features = self._even
            if self._near is not None:
                of_nodes = self._near.products[:, :, list(nodes)][:, :, :, list(others)].flatten(2)
                features = torch.cat([features, of_nodes], 2)
            self._known[nodes, others] = [
                [features[s.channels][:, r.channels].flatten(0, 1) for r in self._seen] for s in self._seen
            ]
        return self._known[nodes, others]
