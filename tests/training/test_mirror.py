"""The world in a mirror on the equator."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from dacycle.channels import channel
from dacycle.cycler.assimilation.prior import DiffusionPrior, load_prior, season_features, static_features
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.training.frames import Frames, estimate_gaussian
from dacycle.cycler.training.mirror import Mirror
from dacycle.cycler.training.prior import PriorSettings, evaluate, train_prior
from dacycle.emulators.grid import gaussian_grid

GRID = gaussian_grid(8, 16)
CHANNELS = channel("u500"), channel("v500")
LAT, LON = np.deg2rad(GRID.lat)[:, None], np.deg2rad(GRID.lon)[None]
LAND = (0.5 + 0.5 * np.sin(LAT) * np.cos(LON)).astype(np.float32)  # most of it in the north


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def frames(count: int, seed: int) -> Frames:
    """One bit of truth, told by one pattern in the north and another in the south."""
    pattern = torch.tensor(np.stack([LAND * np.cos(LON), LAND * np.sin(2 * LON)]) * 2, dtype=torch.float32)
    signs = torch.randint(0, 2, (count, 1, 1, 1), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0
    season = season_features(datetime(2001, 1, 1, tzinfo=UTC))
    return Frames((signs * pattern).half(), season.expand(count, -1))


def prior_of(of: Frames) -> DiffusionPrior:
    torch.manual_seed(0)
    statics = static_features(GRID, np.zeros(GRID.shape), LAND)
    return DiffusionPrior(estimate_gaussian(of, GRID, 6, stride=1), statics, 2, [16], 1, False)


def test_a_flow_in_the_mirror_is_a_flow_there() -> None:
    """Its divergence is the mirror image of the flow's; its vorticity that with the other sign."""
    torch.manual_seed(1)
    flow = torch.randn(3, 2, *GRID.shape)
    mirror = Mirror(prior_of(frames(8, 0)), CHANNELS)

    def derivatives(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def east(f: torch.Tensor) -> torch.Tensor:
            return (f.roll(-1, -1) - f.roll(1, -1))[:, 1:-1]

        def north(f: torch.Tensor) -> torch.Tensor:  # rows go from north to south
            return f[:, :-2] - f[:, 2:]

        u, v = x.unbind(1)
        return east(u) + north(v), east(v) - north(u)

    divergence, vorticity = derivatives(flow)
    there = derivatives(mirror.states(flow))
    torch.testing.assert_close(there[0], divergence.flip(-2))
    torch.testing.assert_close(there[1], -vorticity.flip(-2))
    torch.testing.assert_close(mirror.states(mirror.states(flow)), flow)


def test_the_mirrors_summer_is_half_a_year_away_at_the_same_hour() -> None:
    mirror = Mirror(prior_of(frames(8, 0)), CHANNELS)
    here = season_features(datetime(2001, 1, 1, 6, tzinfo=UTC))[None]
    there = season_features(datetime(2001, 7, 2, 6, tzinfo=UTC))
    torch.testing.assert_close(mirror.season(here)[0], there, atol=0.02, rtol=0)


def test_the_ground_lies_on_the_other_side_and_the_network_is_the_same() -> None:
    prior = prior_of(frames(8, 0))
    mirror = Mirror(prior, CHANNELS)
    torch.testing.assert_close(mirror.prior.statics[1], prior.statics[1].flip(-2))
    torch.testing.assert_close(mirror.prior.statics[2:], prior.statics[2:])
    torch.testing.assert_close(prior.statics[1], torch.as_tensor(LAND))
    with torch.no_grad():
        prior.network.head.conv.bias.fill_(0.25)
    assert mirror.prior.network.head.conv.bias.min() == 0.25


def test_what_winds_follow_is_mirrored_with_them(balanced_bundle: Bundle) -> None:
    """States of mirrored control variables, under the mirrored balance, are the mirrored states."""
    prior = load_prior(balanced_bundle)
    mirror = Mirror(prior, balanced_bundle.channels)
    y = torch.randn(2, len(balanced_bundle.channels), *balanced_bundle.grid.shape)
    assert prior.balance is not None
    assert mirror.prior.balance is not None
    told = mirror.prior.balance.state(mirror.states(y))
    torch.testing.assert_close(told, mirror.states(prior.balance.state(y)), rtol=1e-4, atol=1e-4)
    assert prior.balance is not mirror.prior.balance


def test_what_a_network_saw_in_the_mirror_it_knows_there(tmp_path: Path) -> None:
    """Judged on the planet in the mirror, of which the runs themselves say nothing."""
    settings = PriorSettings(seconds=8.0, batch=16, learning_rate=3e-3, average=0.9)
    judged = {}
    for name in ("here", "both"):
        prior, here = prior_of(frames(64, 0)), frames(16, 1)
        mirror = Mirror(prior, CHANNELS)
        seen = mirror if name == "both" else None
        train_prior(prior, frames(64, 0), here, settings, tmp_path / f"{name}.pt", lambda text: None, seen)
        there = Frames(mirror.states(here.values), mirror.season(here.season))
        judged[name] = min(evaluate(mirror.prior, there)[4:6])
    assert judged["both"] < 0.8, judged
    assert judged["both"] < judged["here"] - 0.1, judged
