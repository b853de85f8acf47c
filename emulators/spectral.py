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
    """Analysis and synthesis up to degree ``lmax - 1`` on ``grid``; ValueError where the grid cannot resolve that.

    torch-harmonics knows the associated Legendre functions and the quadrature. The sums over them are ours: one product
    of matrices for each wave in longitude, with all fields side by side, takes half the time of the library's.
    """

    degree: Tensor
    _quadrature: Tensor
    _legendre: Tensor
    _where: Tensor
    _forward_scale: Tensor
    _which: Tensor
    _inverse_scale: Tensor
    _rows: Tensor
    _wave: Tensor

    def __init__(self, grid: Grid, lmax: int) -> None:
        super().__init__()
        nlat, nlon = grid.shape
        if lmax > nlat or lmax > nlon // 2 + 1:
            raise ValueError(f"a {nlat}x{nlon} grid resolves at most {min(nlat, nlon // 2 + 1)} degrees; got {lmax}")
        self.grid, self.lmax = grid, lmax
        shape = {"lmax": lmax, "mmax": lmax, "grid": "legendre-gauss"}
        quadrature = torch_harmonics.RealSHT(nlat, nlon, **shape).weights  # (m, l, nlat)
        legendre = torch_harmonics.InverseRealSHT(nlat, nlon, **shape).pct
        # Of every coefficient: degree, wave m, and whether it is a sine.
        degree = degree_of(lmax)
        within = torch.arange(lmax**2) - degree**2
        wave, sine = (within + 1) // 2, (within > 0) & (within % 2 == 0)
        # What the real and the imaginary part of a wave are in an orthonormal cosine and sine.
        scale = torch.where(wave > 0, math.sqrt(2.0), 1.0) * torch.where(sine, -1.0, 1.0)
        where = (wave * 2 + sine) * lmax + degree  # in (m, real or imaginary, l)
        which = torch.zeros(2 * lmax**2, dtype=torch.int64)
        which[where] = torch.arange(lmax**2)
        inverse_scale = torch.zeros(2 * lmax**2)
        inverse_scale[where] = 1 / scale
        buffers = {
            "degree": degree,
            "_quadrature": 2 * torch.pi * quadrature[:, None].float(),
            "_legendre": legendre.transpose(1, 2)[:, None].float().contiguous(),  # (m, 1, nlat, l)
            "_where": where,
            "_forward_scale": scale[:, None],
            "_which": which,
            "_inverse_scale": inverse_scale[:, None],
            "_rows": (legendre[wave, degree].T * scale.abs()).float(),  # at the grid's rows, (nlat, L*L)
            "_wave": wave + lmax * sine,
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)

    def analyse(self, x: Tensor) -> Tensor:
        """Coefficients (..., L*L) of fields (..., nlat, nlon): a = Y' W x with the quadrature weights W."""
        waves = torch.fft.rfft(x.reshape(-1, *self.grid.shape), norm="forward")[..., : self.lmax]
        parts = torch.view_as_real(waves).permute(2, 3, 1, 0)  # (m, real or imaginary, nlat, fields)
        sums = (self._quadrature.to(x.dtype) @ parts).flatten(0, 2)
        a: Tensor = sums.index_select(0, self._where) * self._forward_scale
        return a.T.reshape(*x.shape[:-2], self.lmax**2)

    def synthesise(self, a: Tensor) -> Tensor:
        """Fields (..., nlat, nlon) of coefficients (..., L*L): x = Y a."""
        nlat, nlon = self.grid.shape
        of_fields = a.reshape(-1, self.lmax**2).T.contiguous()
        parts = of_fields.index_select(0, self._which) * self._inverse_scale
        sums = self._legendre.to(a.dtype) @ parts.view(self.lmax, 2, self.lmax, -1)  # (m, 2, nlat, fields)
        waves = a.new_zeros(of_fields.shape[1], nlat, nlon // 2 + 1, 2)
        waves[:, :, : self.lmax] = sums.permute(3, 2, 0, 1)
        field: Tensor = torch.fft.irfft(torch.view_as_complex(waves), n=nlon, norm="forward")
        return field.reshape(*a.shape[:-1], nlat, nlon)

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
