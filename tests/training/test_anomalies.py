"""What a covariance of control variables is in anomalies, against fields drawn with it."""

import numpy as np
import torch

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.prior import DiffusionPrior, static_features
from dacycle.cycler.training.anomalies import Anomalies
from dacycle.emulators.grid import gaussian_grid

CHANNELS = ("2t", "u850", "v850", "z850")
GRID, DEGREES, N, FEW = gaussian_grid(16, 32), 9, 4, 5


def prior(balanced: bool) -> DiffusionPrior:
    generator = torch.Generator().manual_seed(1)
    gaussian = GaussianPrior(GRID, torch.eye(N).repeat(DEGREES, 1, 1), torch.zeros(N))
    lat = torch.as_tensor(np.deg2rad(GRID.lat), dtype=torch.float32)[:, None].expand(GRID.shape)
    coefficients = torch.stack([torch.sin(lat), torch.cos(lat)]).repeat(2, 1, 1, 1)
    coefficients = coefficients * torch.rand(2, 1, 1, 1, generator=generator)
    balance = Balance(
        CHANNELS, np.ones((N, *GRID.shape), np.float32), coefficients, 0.5 + 0.3 * torch.cos(lat).repeat(2, 1, 1)
    )
    features = static_features(GRID, np.zeros(GRID.shape), np.zeros(GRID.shape))
    told = {"balance": balance, "states": gaussian} if balanced else {}
    return DiffusionPrior(gaussian, features, 2, [8], 1, False, **told)  # type: ignore[arg-type]


def covariance() -> torch.Tensor:
    root = torch.randn(FEW, N, N, generator=torch.Generator().manual_seed(2))
    return root @ root.transpose(-1, -2)


def test_it_is_what_fields_have_that_were_drawn_with_it() -> None:
    known, given = prior(True), covariance()
    found = Anomalies(known, FEW)(given)
    assert found is not None
    gaussian, count = known.gaussian, 20_000
    a = torch.zeros(count, N, DEGREES**2)
    white = torch.randn(count, N, FEW**2, generator=torch.Generator().manual_seed(3))
    a[..., : FEW**2] = gaussian.per_degree(torch.linalg.cholesky(given), white)
    assert known.balance is not None
    x = gaussian.analyse(known.balance.state(gaussian.synthesise(a)))[..., : FEW**2]
    total = torch.zeros(FEW, N, N).index_add_(
        0, gaussian.harmonics.degree[: FEW**2], torch.einsum("mck,mdk->kcd", x, x)
    )
    sampled = total / count / (2 * torch.arange(FEW) + 1)[:, None, None]
    size = found.diagonal(dim1=1, dim2=2).sqrt()
    error = (found - sampled) / (size[:, :, None] * size[:, None, :])
    assert error.abs().max() < 0.04
    torch.testing.assert_close(found[:, [0, 3]][:, :, [0, 3]], given[:, [0, 3]][:, :, [0, 3]])
    assert (found[:, 1, 1] - given[:, 1, 1]).abs().mean() > 0.3  # winds are others


def test_there_is_nothing_to_tell_where_the_prior_knows_anomalies() -> None:
    assert Anomalies(prior(False), FEW)(covariance()) is None
