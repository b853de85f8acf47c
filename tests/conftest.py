"""Fixtures shared by all tests: the real data, and a tiny bundle that runs the real code quickly."""

import os
import shutil
import sqlite3  # noqa: F401  before ecCodes, whose wheel brings an old SQLite that would take the place of Python's
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.assimilation.balance import balanced
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.prior import DiffusionPrior, load_prior, static_features
from dacycle.cycler.bundle import Bundle, Card, NetworkCard, open_bundle
from dacycle.cycler.training.anomalies import Anomalies
from dacycle.cycler.training.bundle import Statics, write_bundle, write_measured
from dacycle.emulators.grid import gaussian_grid

MEANS = {"t": 270.0, "u": 5.0, "v": 0.0, "q": 0.006, "z": 5000.0, "sp": 98000.0}
SPREADS = {"t": 4.0, "u": 6.0, "v": 5.0, "q": 0.001, "z": 60.0, "sp": 800.0}
HEIGHTS = {850: 1450.0, 500: 5600.0, 250: 10400.0}


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real soundings and fields, from DACYCLE_REAL_DATA."""
    location = os.environ.get("DACYCLE_REAL_DATA")
    if not location or not Path(location).is_dir():
        pytest.skip("set DACYCLE_REAL_DATA to the folder with the real soundings to run this test")
    return Path(location).resolve()


@pytest.fixture(scope="session")
def tiny_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on 16x32 with an emulator on 8x16: real formats and code, arbitrary but smooth statistics."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundle_path: Path) -> Bundle:
    """The tiny bundle, opened."""
    return open_bundle(str(tiny_bundle_path))


@pytest.fixture(scope="session")
def balanced_bundle_path(tmp_path_factory: pytest.TempPathFactory, tiny_bundle_path: Path) -> Path:
    """The tiny bundle with a prior in control variables: winds along the isolines of height, made up but smooth."""
    folder = tmp_path_factory.mktemp("bundle") / "balanced"
    shutil.copytree(tiny_bundle_path, folder)
    bundle, weights = open_bundle(str(folder)), load_file(folder / "prior.safetensors")
    std = {c.variable: float(bundle.climatology.std[k].mean()) for k, c in enumerate(bundle.channels)}
    lat = torch.as_tensor(np.deg2rad(bundle.grid.lat), dtype=torch.float32)[:, None].expand(bundle.grid.shape)
    turn, none = std["u"] / std["z"] * torch.sin(lat), 0 * lat
    pairs = balanced([c.name for c in bundle.channels])
    slopes = [torch.stack([none, -turn] if "u" in wind else [turn, none]) for wind, _ in pairs]
    weights |= {"balance.coefficients": torch.stack(slopes), "balance.spread": 0.5 + 0 * lat.repeat(len(pairs), 1, 1)}
    weights |= {f"states.{name}": weights[f"gaussian.{name}"].clone() for name in ("covariance", "rest")}
    save_file(weights, folder / "prior.safetensors")
    found = Anomalies(load_prior(bundle), len(bundle.forecast_error))(torch.as_tensor(bundle.forecast_error))
    assert found is not None
    write_measured(folder / "statics.nc", states_error_covariance=found.numpy())
    return folder


@pytest.fixture(scope="session")
def balanced_bundle(balanced_bundle_path: Path) -> Bundle:
    """The balanced bundle, opened."""
    return open_bundle(str(balanced_bundle_path))


def write_tiny_bundle(folder: Path) -> None:
    """Write the tiny bundle into ``folder``."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    grid, channels = gaussian_grid(16, 32), DEFAULT_CHANNELS
    n = len(channels)
    covariance = tiny_covariance(n, 12)
    arguments = {"fold": 2, "widths": [16], "blocks": 1, "low_precision": False}
    land = (rng.random(grid.shape) < 0.3).astype(np.float32)
    orography = land * rng.uniform(0, 800, grid.shape).astype(np.float32)
    gaussian = GaussianPrior(grid, covariance, torch.full((n,), 0.01))
    prior = DiffusionPrior(gaussian, static_features(grid, orography, land), 2, [16], 1, False)
    climatology = np.zeros((5, n, *grid.shape), np.float32)
    std = np.zeros((n, *grid.shape), np.float32)
    for k, c in enumerate(channels):
        climatology[0, k] = HEIGHTS[c.level_hpa] if c.variable == "z" and c.level_hpa else MEANS[c.variable]
        std[k] = SPREADS[c.variable]
    climatology[0, 3] *= np.exp(-orography / 8000)
    slope = np.tile(np.eye(n, dtype=np.float32), (8, 1, 1))
    error = (0.3 * covariance[:8]).numpy()
    statics = Statics(climatology, std, orography, land, slope, error, np.zeros(8, np.float32))
    card = Card(
        name="tiny",
        version="1",
        licence="Apache-2.0",
        world="simulated",
        description="A bundle for tests: made-up statistics, an untrained network, persistence as emulator.",
        channels=[c.name for c in channels],
        analysis_grid=grid.shape,
        emulator_grid=(8, 16),
        prior=NetworkCard(architecture="gaussian-unet", arguments=arguments),
        emulator=NetworkCard(architecture="persistence", arguments={}),
    )
    write_bundle(folder, card, statics, prior.state_dict(), {"unused": torch.zeros(1)}, grid)


def tiny_covariance(channels: int, degrees: int) -> torch.Tensor:
    """(degrees, channels, channels): unit variance per channel, red spectrum, neighbours among channels correlated."""
    grid_points = 16 * 32
    k = torch.arange(channels)
    correlation = 0.6 ** (k[:, None] - k[None]).abs().float()
    power = (1.0 + torch.arange(degrees).float()) ** -2.5
    power = power / ((2 * torch.arange(degrees) + 1) * power).sum() * grid_points
    return power[:, None, None] * correlation
