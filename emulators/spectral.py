"""Spherical harmonics on a Gaussian grid, as vectors of real coefficients ordered by degree.

A field is x = Y a with real orthonormal harmonics; ``a`` has length L*L (degrees 0 .. L-1, for each degree
m = 0, then the cosines and sines of m = 1 .. l). The transforms are torch-harmonics' (Legendre-Gauss quadrature,
exact for band-limited fields); only the ordering is ours, so that a matrix per degree applies to a contiguous slice.
"""

import math

import torch
import torch_harmonics
from torch import Tensor, nn

from dacycle.emulators.grid import EARTH_RADIUS_KM, Grid

__all__ = ["Harmonics", "by_degree", "degree_of"]


def degree_of(lmax: int) -> Tensor:
    """The degree of each coefficient (lmax^2,)."""
    degree = torch.arange(lmax)
    return torch.repeat_interleave(degree, 2 * degree + 1)


def by_degree(a: Tensor) -> tuple[Tensor, ...]:
    """Coefficients (..., l*l), degree by degree: views (..., 2 degree + 1)."""
    return torch.split(a, [2 * degree + 1 for degree in range(math.isqrt(a.shape[-1]))], -1)


class Harmonics(nn.Module):
    """Analysis and synthesis up to degree ``lmax - 1`` on ``grid``; ValueError where the grid cannot resolve that."""

    degree: Tensor
    _cosine_source: Tensor
    _cosine_target: Tensor
    _sine_source: Tensor
    _sine_target: Tensor
    _scale: Tensor
    _sine_scale: Tensor
    _rows: Tensor
    _wave: Tensor

    def __init__(self, grid: Grid, lmax: int) -> None:
        super().__init__()
        nlat, nlon = grid.shape
        if lmax > nlat or lmax > nlon // 2 + 1:
            raise ValueError(f"a {nlat}x{nlon} grid resolves at most {min(nlat, nlon // 2 + 1)} degrees; got {lmax}")
        self.grid, self.lmax = grid, lmax
        shape = {"lmax": lmax, "mmax": lmax, "grid": "legendre-gauss"}
        self._forward = torch_harmonics.RealSHT(nlat, nlon, **shape)
        self._inverse = torch_harmonics.InverseRealSHT(nlat, nlon, **shape)
        degree = torch.arange(lmax)
        position = degree**2  # where each degree's slice begins
        pairs = [(ell, m) for ell in range(lmax) for m in range(ell + 1)]
        ell, m = torch.tensor(pairs).T
        flat = ell * lmax + m
        cosine = position[ell] + (2 * m - 1).clamp_min(0)
        self.register_buffer("degree", degree_of(lmax), persistent=False)
        self.register_buffer("_cosine_source", flat, persistent=False)
        self.register_buffer("_cosine_target", cosine, persistent=False)
        self.register_buffer("_sine_source", flat[m > 0], persistent=False)
        self.register_buffer("_sine_target", (cosine + 1)[m > 0], persistent=False)
        scale = torch.where(m > 0, math.sqrt(2.0), 1.0)
        self.register_buffer("_scale", scale, persistent=False)
        self.register_buffer("_sine_scale", -scale[m > 0], persistent=False)
        # Of every coefficient: its associated Legendre function at the grid's rows, and which wave in longitude it has.
        rows, wave = torch.empty(nlat, lmax**2), torch.empty(lmax**2, dtype=torch.int64)
        legendre = self._inverse.pct.float().permute(2, 1, 0).flatten(1)[:, flat] * scale  # (nlat, pairs)
        rows[:, cosine], wave[cosine] = legendre, m
        rows[:, (cosine + 1)[m > 0]], wave[(cosine + 1)[m > 0]] = legendre[:, m > 0], lmax + m[m > 0]
        self.register_buffer("_rows", rows, persistent=False)
        self.register_buffer("_wave", wave, persistent=False)

    def analyse(self, x: Tensor) -> Tensor:
        """Coefficients (..., L*L) of fields (..., nlat, nlon): a = Y' W x with the quadrature weights W."""
        spectrum = self._forward(x).flatten(-2)
        a = x.new_zeros(*x.shape[:-2], self.lmax**2)
        a[..., self._cosine_target] = spectrum[..., self._cosine_source].real * self._scale
        a[..., self._sine_target] = spectrum[..., self._sine_source].imag * self._sine_scale
        return a

    def synthesise(self, a: Tensor) -> Tensor:
        """Fields (..., nlat, nlon) of coefficients (..., L*L): x = Y a."""
        parts = a.new_zeros(*a.shape[:-1], self.lmax**2, 2)
        parts[..., self._cosine_source, 0] = a[..., self._cosine_target] / self._scale
        parts[..., self._sine_source, 1] = a[..., self._sine_target] / self._sine_scale
        spectrum = torch.view_as_complex(parts).reshape(*a.shape[:-1], self.lmax, self.lmax)
        field: Tensor = self._inverse(spectrum)
        return field

    def smoothing(self, length_km: float) -> Tensor:
        """(L*L,): what multiplies coefficients to smooth a field by a Gaussian of that standard deviation."""
        degree = self.degree.float()
        return torch.exp(-0.5 * degree * (degree + 1) * (length_km / EARTH_RADIUS_KM) ** 2)

    def at_corners(self, corners: Tensor, weights: Tensor) -> Tensor:
        """Weighted sums of the harmonics at grid points: corners (n, k) of the flattened grid -> (n, L*L)."""
        nlon = self.grid.shape[1]
        m = torch.arange(self.lmax, device=corners.device)
        longitude = torch.deg2rad(torch.as_tensor(self.grid.lon, dtype=torch.float64, device=corners.device))
        basis: Tensor = self._rows.new_zeros(len(corners), self.lmax**2)
        for corner, weight in zip(corners.T, weights.float().T, strict=True):
            angle = longitude[corner % nlon, None] * m
            waves = torch.cat([angle.cos(), angle.sin()], 1).float() * weight[:, None]
            basis.addcmul_(self._rows[corner // nlon], waves.index_select(1, self._wave))
        return basis
