"""Gross errors in a hundredth of the values: found, at little cost to the good ones and to the analysis.

``tests/benchmarks/gross_errors.py`` does this with the default bundle in the simulated world; here a truth drawn from
the tiny bundle's own prior is observed by a made-up network, through the instruments of the simulated world.
"""

from dataclasses import replace
from datetime import UTC, datetime
from unittest.mock import patch

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.analysis import Analyst, Settings
from dacycle.cycler.assimilation.fields import coarsen, observe
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.outliers import reject_outliers
from dacycle.cycler.training.instruments import read_instruments
from dacycle.obs.batch import ObservationBatch, Quality
from dacycle.obs.errors import observation_error

TIME = datetime(2021, 3, 1, tzinfo=UTC)
STATIONS = 150


def truth_of(bundle: Bundle, seed: int) -> np.ndarray:
    """A state drawn from the bundle's Gaussian prior, (channels, nlat, nlon)."""
    gaussian = Analyst(bundle, Settings("oi")).prior.gaussian
    field = gaussian.sample(1, torch.Generator().manual_seed(seed))[1][0].numpy()
    return np.asarray(bundle.climatology.mean(TIME) + field * bundle.climatology.std)


def observed(bundle: Bundle, truth: np.ndarray, seed: int, fraction: float) -> tuple[ObservationBatch, np.ndarray]:
    """The network's batch, and which of its values are gross errors; the same noise for every ``fraction``."""
    rng = np.random.default_rng(seed)
    names = [c.name for c in bundle.channels]
    n = STATIONS * len(names)
    station = np.tile([f"QQX{k:08d}" for k in range(STATIONS)], len(names))
    lat = np.tile(np.rad2deg(np.arcsin(rng.uniform(-0.95, 0.95, STATIONS))), len(names))
    lon = np.tile(rng.uniform(0, 360, STATIONS), len(names))
    batch = ObservationBatch(
        TIME,
        channel=np.repeat(names, STATIONS),
        lat=lat,
        lon=lon,
        time=np.full(n, np.datetime64("2021-03-01T00:00:00", "s")),
        value=np.zeros(n),
        sigma=np.ones(n),
        elevation=np.zeros(n),
        station=station,
        report=np.array([f"{s} 2021-03-01T00 9999" for s in station.tolist()]),
        quality=np.zeros(n, np.int16),
    )
    exact = observe(bundle, truth[None].astype(np.float32), batch)[0].astype(float).reshape(len(names), STATIONS)
    with patch("dacycle.cycler.training.instruments.GROSS_FRACTION", fraction):
        readings = read_instruments(
            dict(zip(names, exact, strict=True)), {c.name: c for c in bundle.channels}, np.random.default_rng(seed + 1)
        )
    gross = np.concatenate([readings[name].gross for name in names])
    absent = np.concatenate([readings[name].missing | readings[name].removed for name in names])
    value = np.concatenate([readings[name].value for name in names])
    sigma = np.concatenate([observation_error(c, readings[c.name].value) for c in bundle.channels])
    batch = replace(batch, value=value, sigma=sigma)
    return batch.select(~absent), gross[~absent]


def errors(bundle: Bundle, truth: np.ndarray, checked: ObservationBatch, forecast: np.ndarray | None) -> float:
    """RMSE of the analysis mean over all channels, in units of the climatological standard deviation."""
    states = Analyst(bundle, Settings("oi")).draw(TIME, checked, forecast, range(1, 9), 0)
    misses = (states.mean(0) - truth) / bundle.climatology.std
    return float(np.sqrt(bundle.grid.mean(misses**2).mean()))


@pytest.mark.parametrize("background", ["climatology", "forecast"])
def test_gross_errors_are_found_and_cost_little(tiny_bundle: Bundle, background: str) -> None:
    found = wrong = lost = good = 0
    ratios = []
    for seed in range(2):
        truth = truth_of(tiny_bundle, seed)
        forecast = None
        if background == "forecast":
            # An error of the size that the bundle expects of its forecasts.
            away = np.sqrt(0.3) * (truth_of(tiny_bundle, 100 + seed) - tiny_bundle.climatology.mean(TIME))
            forecast = coarsen(tiny_bundle, np.stack([truth + away] * 2).astype(np.float32))
        (clean, _), (dirty, gross) = (observed(tiny_bundle, truth, seed, f) for f in (0.0, 0.01))
        checked = [reject_outliers(tiny_bundle, batch, forecast) for batch in (clean, dirty)]
        struck = checked[1].quality != Quality.ASSIMILATED
        found, wrong = found + int((struck & gross).sum()), wrong + int(gross.sum())
        lost, good = lost + int((struck & ~gross).sum()), good + int((~gross).sum())
        ratios.append([errors(tiny_bundle, truth, batch, forecast) for batch in checked])
    ratio = float(np.sqrt(np.square(ratios).mean(0)[1] / np.square(ratios).mean(0)[0]))
    assert wrong > 30
    assert found >= 0.95 * wrong
    assert lost < 0.01 * good
    assert ratio < 1.02


def test_without_the_checks_they_would_cost_a_lot(tiny_bundle: Bundle) -> None:
    truth = truth_of(tiny_bundle, 0)
    (clean, _), (dirty, _) = (observed(tiny_bundle, truth, 0, f) for f in (0.0, 0.01))
    assert errors(tiny_bundle, truth, dirty, None) > 1.02 * errors(tiny_bundle, truth, clean, None)


def test_a_wrongly_dry_sensor_is_not_trusted_for_its_dryness(tiny_bundle: Bundle) -> None:
    truth = truth_of(tiny_bundle, 0)
    batch, _ = observed(tiny_bundle, truth, 0, 0.0)
    humid = batch.channel == "q850"
    dry = replace(batch, value=np.where(humid, 1e-5, batch.value), sigma=np.where(humid, 2e-4, batch.sigma))
    checked = reject_outliers(tiny_bundle, dry, None)
    assert checked.sigma[humid] == pytest.approx(0.15 * 0.006, rel=0.01)
