"""The closed-form Gaussian prior: one covariance of all channels per spherical-harmonic degree.

State x (channels, nlat, nlon): anomalies divided by their standard deviation. Noise of level sigma is white *on the
sphere*: its variance at a point is sigma^2 / w, with the area weight w of the point's row (mean one). Then it is white
in spherical-harmonic space too, commutes with an isotropic covariance, and the Gaussian denoiser below is exact.

Coefficients are scaled by sqrt(points / 4 pi), so that noise of level sigma has variance sigma^2 in each of them. What
lies beyond the truncation, mostly coasts and mountains, is a small white rest of variance ``rest`` per channel.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dacycle.emulators.grid import Grid
from dacycle.emulators.spectral import Harmonics, by_degree

__all__ = ["GaussianPrior"]


class GaussianPrior(nn.Module):
    """N(0, C) with ``covariance`` (lmax, channels, channels) per degree and ``rest`` (channels,).

    C_l = U_l diag(lambda_l) U_l', kept as eigenvectors and eigenvalues because every quantity of the theory (gain,
    posterior covariance, square root) is a function of lambda and the noise variance.
    """

    weights: Tensor
    covariance: Tensor
    rest: Tensor
    eigenvalues: Tensor
    eigenvectors: Tensor

    def __init__(self, grid: Grid, covariance: Tensor, rest: Tensor) -> None:
        super().__init__()
        self.grid = grid
        self.harmonics = Harmonics(grid, covariance.shape[0])
        self.scale = math.sqrt(grid.shape[0] * grid.shape[1] / (4 * math.pi))
        self.register_buffer("weights", torch.as_tensor(grid.weights, dtype=torch.float32)[:, None], persistent=False)
        self.register_buffer("covariance", covariance.float())
        self.register_buffer("rest", rest.float())
        values, vectors = torch.linalg.eigh(covariance.double())
        self.register_buffer("eigenvalues", values.clamp_min(0).float(), persistent=False)
        self.register_buffer("eigenvectors", vectors.float(), persistent=False)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.rest.shape[0])

    @property
    def variance(self) -> Tensor:
        """Area-mean variance (channels,) of the prior."""
        modes = 2 * torch.arange(len(self.covariance), device=self.rest.device) + 1
        return torch.einsum("l,lcc->c", modes.float(), self.covariance) / (4 * math.pi * self.scale**2) + self.rest

    def analyse(self, x: Tensor) -> Tensor:
        """Scaled coefficients (..., channels, L*L) of fields (..., channels, nlat, nlon)."""
        return self.harmonics.analyse(x) * self.scale

    def synthesise(self, a: Tensor) -> Tensor:
        """Fields of scaled coefficients."""
        return self.harmonics.synthesise(a / self.scale)

    def per_degree(self, matrices: Tensor, a: Tensor) -> Tensor:
        """Apply one matrix per degree (>= l, p, q) to a (..., q, l*l); ValueError where degrees have none.

        Degree by degree: a product for each coefficient would be ten times as slow.
        """
        parts = by_degree(a)
        pairs = zip(matrices[: len(parts)], parts, strict=True)
        return torch.cat([matrix @ part for matrix, part in pairs], -1)

    def from_eigenvalues(self, values: Tensor) -> Tensor:
        """U diag(values) U' per degree; ``values`` (..., lmax, channels) -> (..., lmax, channels, channels)."""
        return (self.eigenvectors * values[..., None, :]) @ self.eigenvectors.transpose(-1, -2)

    def gain(self, sigma: Tensor) -> Tensor:
        """K = C (C + sigma^2 I)^-1 per degree; ``sigma`` () or (n,) adds a leading dimension."""
        return self.from_eigenvalues(self.eigenvalues / (self.eigenvalues + sigma[..., None, None] ** 2))

    def posterior_covariance(self, sigma: Tensor) -> Tensor:
        """V = C - C (C + sigma^2 I)^-1 C per degree: what remains unknown when x is seen through noise sigma."""
        return self.from_eigenvalues(self.posterior_eigenvalues(sigma))

    def posterior_eigenvalues(self, sigma: Tensor) -> Tensor:
        """Those of ``posterior_covariance`` (..., lmax, channels), along the prior's own eigenvectors."""
        noise = sigma[..., None, None] ** 2
        return self.eigenvalues * noise / (self.eigenvalues + noise)

    def posterior_std(self, sigma: Tensor) -> Tensor:
        """Area-mean standard deviation (n, channels) of x given x + noise, per channel; ``sigma`` (n,)."""
        diagonal = self.posterior_covariance(sigma).diagonal(dim1=-2, dim2=-1)  # (n, lmax, channels)
        modes = 2 * torch.arange(diagonal.shape[1], device=diagonal.device) + 1
        resolved = torch.einsum("l,nlc->nc", modes.float(), diagonal) / (4 * math.pi * self.scale**2)
        noise = sigma[:, None] ** 2
        return (resolved + self.rest * noise / (self.rest + noise)).sqrt()

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x0 | x0 + noise = x], exact for this prior; x (n, channels, nlat, nlon), ``sigma`` (n,)."""
        return self.denoise_variants(x, sigma, ())[0]

    def denoise_variants(self, x: Tensor, sigma: Tensor, factors: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
        """``denoise``; what it would add were the covariance C times each factor (n, factors, ...x's shape); and the
        scaled coefficients of the former (n, channels, L*L).

        One analysis serves all of them. The white rest beyond the truncation stays as it is.
        """
        noise = (sigma[:1] if bool((sigma == sigma[0]).all()) else sigma)[:, None, None] ** 2
        gain = self.eigenvalues / (self.eigenvalues + noise)  # (n or 1, lmax, channels)
        gains = [gain, *(f * self.eigenvalues / (f * self.eigenvalues + noise) - gain for f in factors)]
        shrink = self.rest[:, None] / (self.rest[:, None] + noise)  # (n or 1, channels, 1)
        a = self.analyse(x)
        modes = self.per_degree(self.eigenvectors.transpose(-1, -2), a)
        by_factor = torch.stack(gains, 1)[:, :, self.harmonics.degree].transpose(-1, -2) * modes[:, None]
        moved = self.per_degree(self.eigenvectors, by_factor)
        fields = self.synthesise(torch.cat([moved[:, :1] - (shrink * a)[:, None], moved[:, 1:]], 1))
        return fields[:, 0] + shrink[..., None] * x, fields[:, 1:], moved[:, 0]

    def noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Unit noise, white on the sphere, of the shape of ``like``; drawn where the generator is."""
        white = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=generator.device)
        return white.to(like.device) / self.weights.sqrt()

    def colour(self, white: Tensor, eigenvalues: Tensor | None = None) -> Tensor:
        """Standard normal coefficients (n, channels, L*L) -> a draw of the prior in scaled coefficients; or of what has
        other ``eigenvalues`` (lmax, channels), as a posterior has."""
        variances = self.eigenvalues if eigenvalues is None else eigenvalues
        return self.per_degree(self.from_eigenvalues(variances.sqrt()), white)

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` draws: scaled coefficients (count, channels, L*L) and fields (count, channels, nlat, nlon)."""
        white = torch.randn(count, self.channels, self.harmonics.lmax**2, generator=generator).to(self.rest.device)
        a = self.colour(white)
        return a, self.synthesise(a)
