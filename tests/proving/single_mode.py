"""Small systems through the assimilation's own code: d variables as d channels of a planet with one spherical harmonic.

Everything that the assimilation does with channels (their joint covariance, soundings, the forecast's correlated
errors, guidance and solver) then acts on an arbitrary d x d covariance. A variable v is the coefficient of the constant
field v / sqrt(points); noise of level sigma on the sphere is noise of level sigma in v.
"""

import math

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.points import PointOperator
from dacycle.emulators.grid import gaussian_grid

__all__ = ["as_fields", "as_variables", "observe", "single_mode_prior"]

GRID = gaussian_grid(2, 4)
ROOT = math.sqrt(8)  # of the number of points


def single_mode_prior(covariance: Tensor) -> GaussianPrior:
    """N(0, ``covariance``) over d variables."""
    return GaussianPrior(GRID, covariance[None], torch.zeros(len(covariance)))


def as_fields(v: Tensor) -> Tensor:
    """(m, d) -> (m, d, 2, 4)."""
    return (v / ROOT)[..., None, None].expand(*v.shape, *GRID.shape)


def as_variables(x: Tensor) -> Tensor:
    """(m, d, 2, 4) -> (m, d): the mean over the planet; both rows have the same weight."""
    return x.mean((-2, -1)) * ROOT


def observe(prior: GaussianPrior, which: Tensor, error: float) -> PointOperator:
    """The variables ``which`` (n,), ascending, with errors of standard deviation ``error``."""
    n = len(which)
    one = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(n, -1)
    corners = torch.arange(4).expand(n, -1)
    return PointOperator(prior, which, corners, one, torch.full((n, 4), ROOT / error))
