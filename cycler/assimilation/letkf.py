"""The local ensemble transform Kalman filter on the emulator's grid (Hunt, Kostelich and Szunyogh 2007).

At every grid point and channel the N members' weights follow from the observations nearby, each counted with a weight
rho that falls with the distance in the horizontal and in ln p:

    A = (N - 1) I + sum rho Y Y',    w = A^-1 sum rho Y d,    W = sqrt(N - 1) A^-1/2,    x_a = mean + X (w + W)

X and Y are the members' deviations in state and observation space, the latter and the innovations d in units of their
error. Since rho is a product of a horizontal and a vertical factor, the sums over observations are matrix products.

The spread that a small ensemble of an emulator lacks comes from three sources: deviations are inflated locally to what
this hour's innovations say, E d^2 = 1 + lambda Y^2 (Wang and Bishop 2003, with the filter's own localisation, Li et al.
2009), draws of the bundle's forecast error are added, and the analysis spread is relaxed towards the forecast's
(Whitaker and Hamill 2012). None of them needs a memory between cycles.
"""

import math

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaspari_cohn import gaspari_cohn
from dacycle.cycler.assimilation.methods import LetkfSettings
from dacycle.emulators.grid import EARTH_RADIUS_KM

__all__ = ["Localisation", "great_circle_km", "transform"]

INFLATION_BOUNDS = (1.0, 25.0)
INFLATION_TRUST = 20.0  # observations of full weight that the inflation of one weighs against


def great_circle_km(lat: Tensor, lon: Tensor, lat2: Tensor, lon2: Tensor) -> Tensor:
    """Distances (n, n2) between points (n,) and (n2,) given in degrees."""

    def unit(lat: Tensor, lon: Tensor) -> Tensor:
        phi, theta = torch.deg2rad(lat.double()), torch.deg2rad(lon.double())
        return torch.stack([phi.cos() * theta.cos(), phi.cos() * theta.sin(), phi.sin()], -1)

    cosine = (unit(lat, lon) @ unit(lat2, lon2).T).clamp(-1, 1)
    return (EARTH_RADIUS_KM * cosine.acos()).float()


class Localisation:
    """``horizontal`` (points, n): weights between grid points and observations; ``vertical`` (channels, channels)."""

    def __init__(self, distance_km: Tensor, height: Tensor, settings: LetkfSettings) -> None:
        """``distance_km`` (points, n); ``height`` (channels,): of each channel, in ln p."""
        self.horizontal = gaspari_cohn(distance_km, settings.radius_km)
        self.vertical = gaspari_cohn((height[:, None] - height).abs(), settings.scale_height)

    def sums(self, values: Tensor, channel: Tensor) -> Tensor:
        """Localised sums of ``values`` (n, k) whose channels are ``channel`` (n,): (channels, points, k)."""
        parts = torch.stack(
            [self.horizontal[:, channel == d] @ values[channel == d] for d in range(len(self.vertical))]
        )
        return torch.einsum("cd,dpk->cpk", self.vertical, parts)


def transform(
    deviations: Tensor, seen: Tensor, innovation: Tensor, channel: Tensor, local: Localisation, settings: LetkfSettings
) -> tuple[Tensor, Tensor]:
    """The analysis: what is to be added to the forecast mean (channels, points), and deviations (N, channels, points).

    ``deviations`` (N, channels, points) and ``seen`` (N, n): the members' deviations from their mean, the latter at the
    observations; ``innovation`` (n,): observations minus the mean there; both in units of the observation's error.
    """
    n = len(deviations)
    products = torch.einsum("in,jn->nij", seen, seen).flatten(1)
    sums = local.sums(torch.cat([products, (seen * innovation).T, innovation.square()[:, None] - 1], 1), channel)
    gram, forcing = sums[..., : n * n].reshape(*sums.shape[:-1], n, n), sums[..., n * n : n * n + n]
    prior_spread = deviations.square().sum(0).div(n - 1).sqrt()
    if settings.inflation:
        variance = gram.diagonal(dim1=-2, dim2=-1).sum(-1) / (n - 1)
        count = local.sums(torch.ones_like(innovation)[:, None], channel)[..., 0].clamp_min(1e-6)
        trust = INFLATION_TRUST * variance / count  # the weight of lambda = 1, in units of the expected Y^2
        scale = ((sums[..., -1] + trust) / (variance + trust).clamp_min(1e-6)).clamp(*INFLATION_BOUNDS).sqrt()
        deviations, prior_spread = deviations * scale, prior_spread * scale
        gram, forcing = gram * scale[..., None, None].square(), forcing * scale[..., None]
    values, vectors = torch.linalg.eigh(gram + (n - 1) * torch.eye(n, device=gram.device))
    values = values.clamp_min(n - 1)
    half = vectors * values.pow(-0.5)[..., None, :]
    weights = (half @ (half.transpose(-1, -2) @ forcing[..., None]))[..., 0]  # A^-1 sum rho Y d
    root = math.sqrt(n - 1) * (vectors * values.pow(-0.5)[..., None, :]) @ vectors.transpose(-1, -2)
    mean = torch.einsum("icp,cpi->cp", deviations, weights)
    moved = torch.einsum("icp,cpij->jcp", deviations, root)
    spread = moved.square().sum(0).div(n - 1).sqrt().clamp_min(1e-12)
    return mean, moved * (1 + settings.relaxation * (prior_spread / spread - 1))
