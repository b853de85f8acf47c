"""Scales that forecasts do not reach: their size is found again, and put where it belongs."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.innovation_covariances import InnovationCovariances
from dacycle.cycler.assimilation.points import point_operator
from dacycle.cycler.assimilation.prior import DiffusionPrior
from dacycle.cycler.assimilation.small_scales import SmallScales
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.small_scales import measured_small_scales
from tests.obs.batches import at_places
from tests.training.made_world import MadeWorld

TIME = datetime(2001, 8, 25, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@dataclass(frozen=True, eq=False)
class Drawn(MadeWorld):
    """Draws of a bundle's own covariance, whose small scales are ``size`` times as large."""

    prior: DiffusionPrior
    size: np.ndarray

    def anomalies(self, number: int) -> np.ndarray:
        a = self.prior.gaussian.sample(1, torch.Generator().manual_seed(1000 + number))[0]
        degrees = len(self.bundle.forecast_error)
        large, small = a.clone(), a.clone()
        large[..., degrees**2 :], small[..., : degrees**2] = 0, 0
        of_large, of_small = (
            self.prior.anomalies(self.prior.gaussian.synthesise(part), self.bundle)[0].numpy()
            for part in (large, small)
        )
        return np.asarray(of_large + self.size[..., None] * of_small)


@pytest.mark.parametrize("kind", ["tiny_bundle", "balanced_bundle"])
def test_size_of_small_scales_is_found_again(kind: str, request: pytest.FixtureRequest) -> None:
    bundle = request.getfixturevalue(kind)
    prior = Analyst(bundle, Settings()).prior
    size = np.ones((len(bundle.channels), bundle.grid.shape[0]), np.float32)
    sine = np.sin(np.deg2rad(bundle.grid.lat))
    own = bundle.index("q850")  # no wind follows it
    size[own] = 2.0**sine
    found = measured_small_scales(prior, bundle, [Drawn(bundle, 160, prior, size)])
    assert found.shape == size.shape
    np.testing.assert_allclose(found[own, 4:-4], size[own, 4:-4], rtol=0.25)
    assert found[own, 4] / found[own, -5] == pytest.approx(size[own, 4] / size[own, -5], rel=0.3)
    np.testing.assert_allclose(np.delete(found, own, 0)[:, 4:-4], 1.0, atol=0.3)
    assert np.delete(found, own, 0).mean() == pytest.approx(1.0, abs=0.05)


def test_factor_is_the_same_in_the_field_and_at_the_values(balanced_bundle: Bundle) -> None:
    """H B^-1 S B a = S H a, for a factor that is the same at all latitudes, other for every channel."""
    prior = Analyst(balanced_bundle, Settings()).prior
    balance = prior.balance_in(balanced_bundle)
    factor = np.linspace(0.5, 1.5, len(balanced_bundle.channels), dtype=np.float32)
    small = SmallScales(prior.gaussian, np.repeat(factor[:, None], balanced_bundle.grid.shape[0], 1), balance)
    names = [c.name for c in balanced_bundle.channels]
    lat, lon = np.linspace(-80, 80, 9), np.linspace(0, 320, 9)
    batch = at_places(TIME, names, np.tile(lat, len(names)), np.tile(lon, len(names)))
    points, _ = point_operator(balanced_bundle, prior.gaussian, batch, TIME, balance)
    at = small.at(points)
    torch.testing.assert_close(at, torch.as_tensor(factor)[points.channel])
    a = prior.gaussian.sample(2, torch.Generator().manual_seed(0))[0]
    moved = points.spectral_apply(small.on(a))
    expected = at * points.spectral_apply(a)
    assert (moved - expected).norm() < 0.05 * expected.norm()


def test_soundings_are_expected_to_see_the_small_scales_that_draws_have(balanced_bundle: Bundle) -> None:
    """What innovations are compared with beyond the forecast's degrees, against draws in control variables, whose winds
    have other small scales than the anomalies' own covariance says."""
    prior, names = Analyst(balanced_bundle, Settings()).prior, [c.name for c in balanced_bundle.channels]
    factor = np.linspace(0.4, 1.2, len(names), dtype=np.float32)[:, None].repeat(balanced_bundle.grid.shape[0], 1)
    told = replace(
        balanced_bundle,
        small_scales=factor,
        local_slope=np.stack([balanced_bundle.forecast_slope] * 4),
        local_error=np.stack([balanced_bundle.forecast_error] * 4),
        states_local_error=np.stack([balanced_bundle.anomaly_error] * 4),
    )
    lat, lon = np.linspace(-75, 75, 7), np.linspace(0, 300, 7)
    batch = at_places(TIME, names, np.tile(lat, len(names)), np.tile(lon, len(names)))
    points, _ = point_operator(told, prior.climate, batch, TIME)
    covariances = InnovationCovariances(told, prior, points, batch, torch.full((4, *told.grid.shape), 0.25))
    a = prior.gaussian.sample(600, torch.Generator().manual_seed(2))[0]
    a[..., : len(told.forecast_error) ** 2] = 0
    x = prior.anomalies(prior.gaussian.synthesise(a), told) * torch.as_tensor(factor)[..., None]
    drawn = points.of_anomalies(x).square().mean(0)
    for c, name in enumerate(names):
        rows = torch.nonzero(points.channel == c)[:, 0]
        white = prior.climate.rest[c] * points.weights[rows].square().sum(-1)
        expected = covariances.of(c, rows).unresolved.diagonal() - white
        assert float(expected.sum() / drawn[rows].sum()) == pytest.approx(1.0, abs=0.12), name
