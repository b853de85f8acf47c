"""How far zonal means of a bundle's own world depart from its climatology."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.adapt import adapt
from dacycle.cycler.assimilation.adaptation import ZONAL_DEGREES, Adaptation, zonal_basis
from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.zonal_variance import measured_zonal_variance, zonal_coefficients
from tests.assimilation.test_adaptation import observed
from tests.training.made_world import START, MadeWorld


@dataclass(frozen=True, eq=False)
class Swinging(MadeWorld):
    """Draws of a bundle's covariance, and a zonal pattern of one channel that comes and goes."""

    climate: GaussianPrior
    channel: str
    degree: int
    variance: float
    seed: int

    @lru_cache(maxsize=1)  # noqa: B019
    def anomalies(self, number: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(1000 * self.seed + number)
        x = self.climate.sample(1, generator)[1][0].numpy()
        pattern = zonal_basis(self.bundle.grid.lat)[self.degree][:, None]
        own = np.random.default_rng([self.seed, number]).standard_normal() * np.sqrt(self.variance)
        x[self.bundle.index(self.channel)] += (own * pattern).astype(np.float32)
        return x


def test_coefficients_of_a_zonal_pattern_are_found_again(tiny_bundle: Bundle) -> None:
    beta = np.random.default_rng(0).standard_normal((len(tiny_bundle.channels), ZONAL_DEGREES))
    rows = beta @ zonal_basis(tiny_bundle.grid.lat)
    waves = np.cos(3 * np.deg2rad(tiny_bundle.grid.lon))  # of no zonal mean
    field = (rows[..., None] + waves) * tiny_bundle.climatology.std
    np.testing.assert_allclose(zonal_coefficients(tiny_bundle, field), beta, atol=1e-5)


def test_what_zonal_means_have_beyond_the_covariance_is_found(tiny_bundle: Bundle) -> None:
    climate = Analyst(tiny_bundle, Settings("oi")).prior.climate
    runs = [Swinging(tiny_bundle, 240, climate, "z500", 2, 0.6, seed) for seed in (1, 2)]
    found = measured_zonal_variance(climate, tiny_bundle, runs)
    assert found.shape == (len(tiny_bundle.channels), ZONAL_DEGREES)
    where = tiny_bundle.index("z500")
    assert found[where, 2] == pytest.approx(0.6, abs=0.2)
    found[where, 2] = 0
    assert found.max() < 0.2
    assert np.median(found) < 0.03


def test_what_zonal_means_have_of_themselves_is_not_taken_for_a_bias(tiny_bundle: Bundle) -> None:
    """The first hour's soundings of a world in which an annular mode stands high."""
    names = tuple(c.name for c in tiny_bundle.channels)
    upper = [c.name for c in tiny_bundle.channels if c.level_hpa is not None and c.variable != "q"]
    own = np.zeros((len(names), ZONAL_DEGREES), np.float32)
    own[:, 2] = 1.0
    told = replace(tiny_bundle, zonal_variance=own)
    anomaly = np.broadcast_to(1.2 * zonal_basis(tiny_bundle.grid.lat)[2][:, None], tiny_bundle.climatology.std.shape)
    truth = tiny_bundle.climatology.mean(START) + tiny_bundle.climatology.std * anomaly
    batch = observed(tiny_bundle, truth.astype(np.float32), START, upper, np.random.default_rng(3), 150, {})
    rows = [names.index(name) for name in upper]
    now, after = (
        adapt(bundle, Analyst(bundle, Settings("oi")).prior, Adaptation.ignorant(names), batch, None, 0.0)
        for bundle in (told, tiny_bundle)
    )
    knows, taken_in = (np.median(known.bias[rows, 2]) for _, known in (now, after))
    assert abs(knows) < 0.3
    assert taken_in > 0.9
    # The analysis of the hour, which solves for both, may still find it.
    assert np.median(now[0].bias_covariance[rows, 2, 2]) > 0.9
