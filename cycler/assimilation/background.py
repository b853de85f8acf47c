"""What a forecast says of a state before the soundings do: how it moves the mean, and what it leaves of the covariance.

With a covariance V (a matrix over channels per degree) and a forecast that observes T x with errors R, the residual
values - T x0 moves x0 by K (values - T x0), K = V T' (T V T' + R)^-1, and leaves L = V - K T V, degree by degree.

Where the forecast's error differs from place to place (``local_term.py``), every node n has its K_n and L_n, and with
weights u_n(place) that add up to one the mean moves by sum_n u_n K_n (values_n - T x0), and

    L = Q Q' + S V S,    Q = sum_n u_n L_n^1/2

V here of the degrees that the forecast does not reach, S how their size varies from place to place
(``small_scales.py``),

so that errors stay correlated between places of different nodes; with L_n = d_n^2 L that is D L D, the classical form.
It is exact where all nodes are alike and without noise in x0; else as far as u changes little over the distance that
errors are correlated over (docs/methods.md has the figures).
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Protocol

import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import SpectralTerm
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.local_term import LocalTerm
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.points import PointOperator

__all__ = ["Background", "EvenBackground", "LocalBackground", "beyond", "pad"]


class Background(Protocol):
    """Coefficients are scaled, (m, channels, L*L); values at soundings (m, n)."""

    def move(self, residual: Tensor) -> Tensor:
        """Coefficients that the forecast's ``residual`` adds."""
        ...

    def spread(self, z: Tensor) -> Tensor:
        """L H' z as coefficients."""
        ...

    def seen(self, z: Tensor) -> Tensor:
        """H L H' z."""
        ...

    def matrix(self) -> Tensor:
        """H L H' (n, n)."""
        ...

    def variance(self) -> Tensor:
        """(n,): the diagonal of that."""
        ...

    def draw(self, white: Tensor, noises: Sequence[MemberNoise]) -> Tensor:
        """One draw of N(0, L) per member, as coefficients, for ``white`` ones and what else ``noises`` give."""
        ...


class EvenBackground:
    """The same everywhere. ``block`` (degrees, channels, channels) is (T V T' + R)^-1, ``cross`` V T'."""

    def __init__(
        self, prior: GaussianPrior, covariance: Tensor, points: PointOperator, term: SpectralTerm | None
    ) -> None:
        self._prior, self._points, self._covariance, self._term = prior, points, covariance, term
        self.left = covariance
        if term is not None:
            self.cross, self.block = _elimination(covariance, term)
            degrees = len(self.block)
            self._gain = self.cross @ self.block
            seen = self._gain @ self.cross.transpose(-1, -2)
            self.left = torch.cat([covariance[:degrees] - seen, covariance[degrees:]])

    def move(self, residual: Tensor) -> Tensor:
        return pad(self._prior.per_degree(self._gain, residual), self._prior.harmonics.lmax**2)

    def spread(self, z: Tensor) -> Tensor:
        return self._prior.per_degree(self.left, self._points.spectral_adjoint(z))

    def weigh(self, residual: Tensor, z: Tensor) -> Tensor:
        """z_f (m, channels, l*l) of the joint system, where that of the soundings is ``z``."""
        degrees = len(self.block)
        pushed = self._prior.per_degree(self.cross.transpose(-1, -2), self._points.spectral_adjoint(z, degrees))
        return self._prior.per_degree(self.block, residual - pushed)

    def seen(self, z: Tensor) -> Tensor:
        return self._points.spectral_apply(self.spread(z))

    def matrix(self) -> Tensor:
        return self._points.matrix(self.left)

    def variance(self) -> Tensor:
        return self._points.variance(self.left)

    def draw(self, white: Tensor, noises: Sequence[MemberNoise]) -> Tensor:
        """Of the prior's, moved by what a perturbed forecast of nothing says of it."""
        a = self._prior.per_degree(_root(self._covariance), white)
        if self._term is None:
            return a
        error = self._term.variance.sqrt() * _white(noises, self._term.variance.shape, a.device)
        return a + self.move(error - self._term.apply(a))


class LocalBackground:
    """Different from place to place."""

    def __init__(self, prior: GaussianPrior, covariance: Tensor, points: PointOperator, local: LocalTerm) -> None:
        self._prior, self._points, self._local = prior, points, local
        eliminated = [_elimination(covariance, term) for term in local.terms]
        self._gain = torch.stack([cross @ block for cross, block in eliminated])
        crosses = torch.stack([cross for cross, _ in eliminated])
        self._degrees = self._gain.shape[1]
        self._roots = _root(covariance[: self._degrees] - self._gain @ crosses.transpose(-1, -2))
        self._tall = self._roots.transpose(0, 1).flatten(1, 2)  # (degrees, nodes * channels, channels)
        self._beyond = beyond(covariance, self._degrees)
        self._at_points = points.interpolate(local.weights)  # (nodes, n)
        self._small_at = None if local.small is None else local.small.at(points)  # (n,)

    def move(self, residual: Tensor) -> Tensor:
        """``residual`` (m, nodes, channels, l*l)."""
        pairs = zip(self._gain, residual.unbind(1), strict=True)
        moved = torch.stack([self._prior.per_degree(gain, of_node) for gain, of_node in pairs], 1)
        return pad(self._local.blend(moved), self._prior.harmonics.lmax**2)

    def spread(self, z: Tensor) -> Tensor:
        return self._of_small(self._unreached(z)) + self._coloured(self._whitened(z))

    def seen(self, z: Tensor) -> Tensor:
        points = self._points
        beyond = self._at_small(points.spectral_apply(self._unreached(z)))
        near = points.spectral_apply(self._of_nodes(self._whitened(z)).flatten(0, 1))
        return beyond + (self._at_points * near.view(len(z), len(self._roots), -1)).sum(1)

    def _unreached(self, z: Tensor) -> Tensor:
        """Of what the forecast does not reach: coefficients of C S H' z, S the factor of small scales."""
        return self._prior.per_degree(self._beyond, self._points.spectral_adjoint(self._at_small(z)))

    def _at_small(self, z: Tensor) -> Tensor:
        return z if self._small_at is None else z * self._small_at

    def _of_small(self, a: Tensor) -> Tensor:
        return a if self._local.small is None else self._local.small.on(a)

    def _whitened(self, z: Tensor) -> Tensor:
        """Q' H' z, of the forecast's degrees (m, channels, l*l)."""
        weighed = (z[:, None] * self._at_points).flatten(0, 1)
        a = self._points.spectral_adjoint(weighed, self._degrees)
        stacked = a.view(len(z), len(self._roots) * self._prior.channels, -1)
        return self._prior.per_degree(self._tall.transpose(-1, -2), stacked)

    def _coloured(self, white: Tensor) -> Tensor:
        """Q of the forecast's degrees, as all coefficients."""
        return pad(self._local.blend(self._of_nodes(white)), self._prior.harmonics.lmax**2)

    def _of_nodes(self, white: Tensor) -> Tensor:
        """Every node's root on ``white`` (m, channels, l*l): (m, nodes, channels, l*l)."""
        nodes = self._prior.per_degree(self._tall, white)
        return nodes.view(len(white), len(self._roots), -1, nodes.shape[-1])

    def matrix(self) -> Tensor:
        return self._points.matrix(self._beyond, self._roots, self._at_points, self._small_at)

    def variance(self) -> Tensor:
        both = combinations_with_replacement(zip(self._at_points, self._roots, strict=True), 2)
        near = torch.zeros_like(self._at_points[0])
        for (u, q), (v, r) in both:  # of q r and of r q, each the other's transpose, it is the same
            near += (1 if q is r else 2) * u * v * self._points.variance(q @ r)
        return near + self._at_small(self._at_small(self._points.variance(self._beyond)))

    def draw(self, white: Tensor, noises: Sequence[MemberNoise]) -> Tensor:
        beyond = self._of_small(self._prior.per_degree(_root(self._beyond), white))
        return beyond + self._coloured(white[..., : self._degrees**2])


def _elimination(covariance: Tensor, term: SpectralTerm) -> tuple[Tensor, Tensor]:
    """V T' and (T V T' + R)^-1, both (degrees, channels, channels)."""
    degrees = term.transform.shape[0]
    variance = term.variance[:, torch.arange(degrees, device=covariance.device) ** 2].T  # (degrees, channels)
    cross = covariance[:degrees] @ term.transform.transpose(-1, -2)
    return cross, torch.linalg.inv(term.transform @ cross + torch.diag_embed(variance))


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of each of (..., degrees, channels, channels)."""
    values, vectors = torch.linalg.eigh(covariance.double())
    root: Tensor = (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.transpose(-1, -2)
    return root.to(covariance.dtype)


def _white(noises: Sequence[MemberNoise], shape: Sequence[int], device: torch.device) -> Tensor:
    return torch.stack([noise.draw(shape) for noise in noises]).to(device)


def pad(a: Tensor, length: int) -> Tensor:
    """Coefficients (..., k) with zeros up to ``length``."""
    return torch.nn.functional.pad(a, (0, length - a.shape[-1]))


def beyond(covariance: Tensor, degrees: int) -> Tensor:
    """``covariance`` (L, ...) of what a forecast of so many ``degrees`` does not reach: zero below them."""
    return torch.cat([torch.zeros_like(covariance[:degrees]), covariance[degrees:]])
