"""The localisation function of Gaspari and Cohn (1999): close to a Gaussian, and zero beyond twice its half-width."""

from torch import Tensor

__all__ = ["gaspari_cohn"]


def gaspari_cohn(distance: Tensor, half_width: float) -> Tensor:
    """Weights in [0, 1] of ``distance`` >= 0 in units of ``half_width`` (eq. 4.10: a fifth-order rational function)."""
    r = distance / half_width
    near = ((((-0.25 * r + 0.5) * r + 0.625) * r - 5 / 3) * r**2 + 1).clamp(0, 1)
    far = ((((r / 12 - 0.5) * r + 0.625) * r + 5 / 3) * r - 5) * r + 4 - 2 / (3 * r.clamp_min(1e-6))
    return near.where(r <= 1, far.clamp(0, 1)).where(r < 2, 0.0)
