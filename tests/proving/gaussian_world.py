"""A world whose posterior is known: a Gaussian prior on a sphere, soundings and a gridded forecast, dense matrices.

Two correlated channels with a red spectrum of 40 degrees on 64x128; 300 soundings at points, and a field on 32x64 whose
errors are correlated as a forecast's are. Degrees 32 to 39 and most of the space between the points are unobserved.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.forecast_term import ForecastTerm
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.points import PointOperator
from dacycle.cycler.assimilation.stacked import Stacked
from dacycle.emulators.grid import bilinear, gaussian_grid

__all__ = ["Errors", "Exact", "World", "make_world"]


@dataclass(frozen=True)
class World:
    """Prior and observations, and which degrees the gridded field observes."""

    prior: GaussianPrior
    observations: Observations
    gridded: int

    @cached_property
    def system(self) -> Conditioner:
        """The prior's Gaussian system."""
        return Conditioner(self.prior, self.prior.covariance, self.prior.rest, self.observations)


def make_world(
    shape: tuple[int, int] = (64, 128), degrees: int = 40, channels: int = 2, points: int = 300, gridded: int = 32
) -> World:
    """Unit variance per channel at every point; sounding errors of a third of it, a forecast that knows 70 %."""
    generator, rng = torch.Generator().manual_seed(1), np.random.default_rng(2)
    grid = gaussian_grid(*shape)
    mixing = torch.eye(channels) + 0.5 * torch.randn(degrees, channels, channels, generator=generator)
    degree = torch.arange(degrees)
    power = (1.0 + degree / 4.0) ** -3.0
    correlation = mixing @ mixing.transpose(-1, -2)
    correlation = correlation / correlation.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    power = power * shape[0] * shape[1] / ((2 * degree + 1) * power).sum()
    prior = GaussianPrior(grid, power[:, None, None] * correlation, torch.zeros(channels))
    corners, weights = bilinear(grid, np.rad2deg(np.arcsin(rng.uniform(-1, 1, points))), rng.uniform(0, 360, points))
    operator = PointOperator(
        prior,
        torch.as_tensor(np.sort(rng.integers(0, channels, points))),
        torch.as_tensor(corners),
        torch.as_tensor(weights, dtype=torch.float32),
        torch.full((points, 4), 3.0),
    )
    a, truth = prior.sample(1, generator)
    innovation = operator.apply(truth)[0] + torch.randn(points, generator=generator)
    known = prior.per_degree(0.7 * torch.eye(channels).expand(degrees, -1, -1), a)
    noise = prior.colour(0.21**0.5 * torch.randn(a.shape, generator=generator))
    slope = torch.eye(channels).expand(gridded, -1, -1)
    term = ForecastTerm(prior, slope, 0.3 * prior.covariance[:gridded], prior.synthesise(known + noise)[0])
    return World(prior, Observations(operator, innovation, term), gridded)


@dataclass(frozen=True)
class Errors:
    """Of a method: ``mean`` and ``worst``: error of the mean over coefficients, in prior standard deviations (rms and
    maximum); spread over exact spread at the soundings, in the gridded degrees, and in the unobserved directions."""

    mean: float
    worst: float
    at_points: float
    gridded: float
    unobserved: float

    @property
    def spreads(self) -> tuple[float, float, float]:
        """The three ratios."""
        return self.at_points, self.gridded, self.unobserved


class Exact:
    """The posterior by dense algebra in double precision, with no code of the assimilation but its operators."""

    def __init__(self, world: World) -> None:
        self.world = world
        prior, channels = world.prior, world.prior.channels
        count = prior.harmonics.lmax**2
        self.degree = prior.harmonics.degree.repeat(channels)
        full = torch.zeros(channels, count, channels, count, dtype=torch.float64)
        index = torch.arange(count)
        full[:, index, :, index] = prior.covariance.double()[prior.harmonics.degree]
        covariance = full.reshape(channels * count, channels * count)
        stacked = Stacked(prior, world.observations)
        h = torch.cat(
            [
                stacked.apply(prior.synthesise(part))
                for part in torch.eye(channels * count).view(-1, channels, count).split(400)
            ]
        ).T.double()
        gain = torch.linalg.solve(h @ covariance @ h.T + torch.eye(len(h)), h @ covariance).T
        self.mean = gain @ stacked.values.double()
        self.covariance = covariance - gain @ h @ covariance
        self.prior_spread = covariance.diagonal().sqrt()
        self.points = h[: len(world.observations.points)]

    @cached_property
    def unobserved(self) -> Tensor:
        """Directions (64, size) beyond the gridded degrees that no sounding sees."""
        beyond = (self.degree >= self.world.gridded).double()
        directions = torch.randn(64, len(self.mean), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        directions = directions * self.prior_spread * beyond
        rows = torch.linalg.qr((self.points * beyond).T).Q
        return directions - (directions @ rows) @ rows.T

    def errors(self, drawn: Tensor) -> Errors:
        """Of members (m, channels, nlat, nlon)."""
        a = self.world.prior.analyse(drawn).flatten(1).double()
        mean, deviations = a.mean(0), a - a.mean(0)
        error = ((mean - self.mean) / self.prior_spread).abs()

        def ratio(directions: Tensor) -> float:
            found = (deviations @ directions.T).square().sum(0) / (len(a) - 1)
            return float((found / ((directions @ self.covariance) * directions).sum(1)).mean().sqrt())

        gridded = self.degree < self.world.gridded
        found = deviations.square().sum(0) / (len(a) - 1)
        return Errors(
            float(error.square().mean().sqrt()),
            float(error.max()),
            ratio(self.points),
            float((found / self.covariance.diagonal())[gridded].mean().sqrt()),
            ratio(self.unobserved),
        )
