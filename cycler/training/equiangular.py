"""Fields on any regular latitude-longitude grid -> a Gaussian grid, by spherical harmonics.

The analysis integrates over latitude with the quadrature that is exact for polynomials of degree n - 1 in its n nodes
(Clenshaw and Curtis' rule where the nodes are equally spaced with the poles, Fejer's where they lie between), so that
fields of degrees below (n + 1) / 2 are transformed exactly; the synthesis is that of the Gaussian grid. Degrees that
either grid does not resolve are cut off.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch_harmonics import InverseRealSHT
from torch_harmonics.legendre import legpoly

from dacycle.emulators.grid import Grid

__all__ = ["FromRegular", "quadrature"]

FloatArray = npt.NDArray[np.float64]


def quadrature(nodes: FloatArray) -> FloatArray:
    """Weights w of the nodes x in [-1, 1] with sum w p(x) = integral of p, for polynomials below degree len(nodes)."""
    legendre = np.polynomial.legendre.legvander(nodes, len(nodes) - 1)
    integrals = np.zeros(len(nodes))
    integrals[0] = 2.0
    return np.asarray(np.linalg.solve(legendre.T, integrals))


class FromRegular:
    """The transform of one source grid: latitudes in any order, longitudes equally spaced around the globe."""

    def __init__(self, lat: FloatArray, lon: FloatArray, target: Grid) -> None:
        """Degrees; ValueError for latitudes outside [-90, 90] or twice the same, or unequal steps in longitude."""
        nlat, nlon = len(lat), len(lon)
        steps = np.diff(lon)
        if nlon < 4 or not np.allclose(steps, 360.0 / nlon, atol=1e-3):
            raise ValueError(
                f"expected longitudes ascending in equal steps around the globe; got {lon[:3]} to {lon[-1]}"
            )
        if np.abs(lat).max() > 90.0 + 1e-6 or len(np.unique(np.round(lat, 6))) < nlat:
            raise ValueError(f"expected different latitudes between -90 and 90; got {lat[:3]} to {lat[-1]}")
        x = np.clip(np.sin(np.deg2rad(lat)), -1.0, 1.0)
        self.target = target
        self.degrees = min((nlat + 1) // 2, nlon // 2, target.shape[0], target.shape[1] // 2)
        n = self.degrees
        functions = legpoly(n, n, torch.from_numpy(x))  # orthonormal, (m, l, nlat)
        self._analysis = (functions * torch.from_numpy(quadrature(x))).to(torch.complex128)
        # Longitude need not begin at 0.
        shift = np.exp(-1j * np.arange(n) * np.deg2rad(lon[0])) * (2 * np.pi / nlon)
        self._shift = torch.as_tensor(shift)[:, None]
        self._synthesis = InverseRealSHT(*target.shape, lmax=n, mmax=n, grid="legendre-gauss").double()

    def __call__(self, fields: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """(..., nlat, nlon) in the source's order -> (..., nlat, nlon) of the target, computed in double precision."""
        values = torch.from_numpy(np.ascontiguousarray(fields, dtype=np.float64))
        zonal = torch.fft.rfft(values)[..., : self.degrees].transpose(-1, -2) * self._shift  # (..., m, lat)
        coefficients = torch.einsum("mlj,...mj->...lm", self._analysis, zonal)
        return np.asarray(self._synthesis(coefficients).numpy(), dtype=np.float32)
