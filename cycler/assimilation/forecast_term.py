"""The emulator's mean forecast as one more observation, with errors correlated in space and between channels.

An emulator's forecast is first calibrated by regression (it is damped where its errors exceed what the climate
varies). For a calibrated forecast f with error covariance P and climatological covariance C, f | x ~ N(A x, A P) with
A = I - P C^-1 (a forecast regresses towards climatology). Per spherical-harmonic degree both are matrices over the
channels. In the basis T that makes C the identity and P diagonal, p in (0, 1), the channels decouple:

    T f / (1 - p) = T x + e,    e ~ N(0, p / (1 - p)).

So the correlated errors of a whole field become independent scalar observations: a diagonal R over grid points, which
would be overconfident, is never formed. Derivation: Gaussian conditioning of x on f, written as a likelihood of f.
"""

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior

__all__ = ["ForecastTerm", "SpectralTerm", "colouring", "whitening"]

# A forecast is never taken as perfect, nor as useless to the point of dividing by zero.
SHARE_BOUNDS = (0.01, 0.995)


class SpectralTerm:
    """Independent observations of a field's coefficients: values = T x + e, e ~ N(0, R), with one T per degree.

    ``transform`` (degrees, channels, channels): T, on scaled coefficients; ``values`` and ``variance``
    (channels, l*l): what is observed and the diagonal of R, which is the same within a degree.
    """

    def __init__(self, prior: GaussianPrior, transform: Tensor, values: Tensor, variance: Tensor) -> None:
        self.count = len(transform) ** 2
        self.transform, self.values, self.variance = transform, values, variance
        self._transform_at = transform[prior.harmonics.degree[: self.count]]

    def apply(self, a: Tensor) -> Tensor:
        """T a: scaled coefficients (m, channels, >= l*l) -> (m, channels, l*l)."""
        return torch.einsum("kcd,mdk->mck", self._transform_at, a[..., : self.count])

    def adjoint(self, z: Tensor) -> Tensor:
        """T' z: (m, channels, l*l) -> the same shape."""
        return torch.einsum("kdc,mdk->mck", self._transform_at, z)


class ForecastTerm(SpectralTerm):
    """Observes degrees below ``error_covariance.shape[0]``; ``values`` (channels, l*l) are T f / (1 - p)."""

    def __init__(
        self,
        prior: GaussianPrior,
        slope: Tensor,
        error_covariance: Tensor,
        forecast: Tensor,
        bounds: tuple[float, float] = SHARE_BOUNDS,
    ) -> None:
        """``slope`` and ``error_covariance`` (degrees, channels, channels), of scaled coefficients: the calibrated
        forecast is E[x | f] = slope f, the covariance that of x - slope f. ``forecast`` (channels, nlat, nlon): the
        normalised mean forecast, lifted to the analysis grid. ``bounds`` of the error's share of the climate."""
        degrees = error_covariance.shape[0]
        whiten = whitening(prior, degrees)
        share, rotation = torch.linalg.eigh(whiten @ error_covariance @ whiten.transpose(-1, -2))
        share = share.clamp(*bounds)
        transform = rotation.transpose(-1, -2) @ whiten  # T, (degrees, channels, channels)
        degree = prior.harmonics.degree[: degrees**2]
        raw = prior.analyse(forecast[None])[0, :, : degrees**2]
        calibrated = torch.einsum("kcd,dk->ck", slope[degree], raw)
        seen = torch.einsum("kcd,dk->ck", transform[degree], calibrated)
        variance = (share / (1 - share))[degree].T.contiguous()  # R
        super().__init__(prior, transform, seen / (1 - share[degree].T), variance)


def whitening(prior: GaussianPrior, degrees: int) -> Tensor:
    """(degrees, channels, channels): makes the climatological covariance of scaled coefficients the identity."""
    vectors, root = _factors(prior, degrees)
    return vectors.transpose(-1, -2) / root[..., None]


def colouring(prior: GaussianPrior, degrees: int) -> Tensor:
    """The inverse of ``whitening``."""
    vectors, root = _factors(prior, degrees)
    return vectors * root[..., None, :]


def _factors(prior: GaussianPrior, degrees: int) -> tuple[Tensor, Tensor]:
    return prior.eigenvectors[:degrees], prior.eigenvalues[:degrees].clamp_min(1e-6).sqrt()
