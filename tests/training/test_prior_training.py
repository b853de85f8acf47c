"""Training the prior on a toy world whose fields are not Gaussian: the network must find what the Gaussian cannot."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dacycle.cycler.assimilation.prior import DiffusionPrior, season_features, static_features
from dacycle.cycler.training.device import training_device
from dacycle.cycler.training.frames import Frames, estimate_gaussian
from dacycle.cycler.training.prior import PriorSettings, add_gradient, begin_from, evaluate, train_prior
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import BundleError, DacycleError

GRID = gaussian_grid(8, 16)


def toy_frames(count: int, seed: int) -> Frames:
    """Fields of +1 or -1 times a fixed pattern: one bit of truth, which a linear denoiser cannot decide."""
    generator = torch.Generator().manual_seed(seed)
    lat, lon = np.deg2rad(GRID.lat)[:, None], np.deg2rad(GRID.lon)[None]
    pattern = torch.tensor(np.stack([np.sin(lat) + 0 * lon, np.cos(lat) * np.cos(lon)]) * 1.5, dtype=torch.float32)
    signs = torch.randint(0, 2, (count, 1, 1, 1), generator=generator) * 2.0 - 1.0
    season = season_features(datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=10))
    return Frames((signs * pattern).half(), season.expand(count, -1))


def make_prior(frames: Frames) -> DiffusionPrior:
    torch.manual_seed(0)
    gaussian = estimate_gaussian(frames, GRID, 6, stride=1)
    return DiffusionPrior(
        gaussian, static_features(GRID, np.zeros(GRID.shape), np.zeros(GRID.shape)), 2, [16], 1, False
    )


def test_the_network_beats_the_gaussian_denoiser_where_the_world_is_not_gaussian(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    frames = toy_frames(64, 0)
    prior = make_prior(frames)
    assert evaluate(prior, toy_frames(16, 1)) == pytest.approx([1.0] * 8)
    settings = PriorSettings(seconds=12.0, batch=16, learning_rate=3e-3, average=0.9)
    trained = train_prior(prior, frames, toy_frames(16, 1), settings, tmp_path / "prior.pt", lambda text: None)
    ratios = evaluate(trained, toy_frames(16, 1))
    assert max(ratios[4:6]) < 0.7, ratios


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    frames, told = toy_frames(32, 0), []
    settings = PriorSettings(seconds=1.5, batch=4, checkpoint_seconds=0.2)
    train_prior(make_prior(frames), frames, frames, settings, tmp_path / "prior.pt", told.append)
    done = int(told[-1].split("step ")[1].split(",")[0])
    saved = torch.load(tmp_path / "prior.pt", weights_only=True)
    assert saved["step"] == done
    again: list[str] = []
    longer = PriorSettings(seconds=saved["spent"] + 1.5, batch=4, checkpoint_seconds=0.2)
    train_prior(make_prior(frames), frames, frames, longer, tmp_path / "prior.pt", again.append)
    assert int(again[0].split("step ")[1].split(",")[0]) > done


def test_a_batch_in_parts_has_the_gradient_of_the_whole() -> None:
    # 16 x 8 x 16 points of two channels: torch draws the noise of parts of such sizes like that of the whole.
    frames, found = toy_frames(32, 0), []
    for parts in (1, 2, 4):
        prior = make_prior(frames)
        with torch.no_grad():
            prior.network.head.conv.weight.fill_(0.01)
        settings = PriorSettings(seconds=1.0, batch=16, accumulate=parts)
        loss = add_gradient(prior, frames, settings, torch.Generator().manual_seed(3))
        found.append((loss, [p.grad for p in prior.network.parameters() if p.grad is not None]))
    (whole, gradients), *others = found
    assert max(float(gradient.abs().max()) for gradient in gradients) > 0.01
    for loss, parts_gradients in others:
        assert loss == pytest.approx(whole, rel=1e-5)
        torch.testing.assert_close(parts_gradients, gradients, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["cuda:99", "nowhere"])
def test_a_device_that_is_not_there_is_told_in_one_line(name: str) -> None:
    with pytest.raises(DacycleError, match=rf"^--device {name}: expected cpu, or cuda or cuda:N with a GPU .*$"):
        training_device(name)
    assert training_device("cpu").type == "cpu"


def test_the_covariance_per_degree_of_a_known_pattern() -> None:
    gaussian = estimate_gaussian(toy_frames(40, 3), GRID, 6, stride=1, shrink=0.0)
    power = gaussian.covariance.diagonal(dim1=1, dim2=2)
    assert power[1].min() > 100 * power[[0, 2, 3, 4, 5]].abs().max()
    # Two patterns of degree 1, of area-mean squares 1.5^2 / 3 each, fill one of three coefficients per channel.
    assert power[1, 0].item() == pytest.approx(1.5**2 / 3 * 8 * 16 / 3, rel=1e-2)


def test_a_training_begins_from_the_network_of_another_prior(tmp_path: Path) -> None:
    frames = toy_frames(16, 0)
    first, second = make_prior(frames), make_prior(frames)
    with torch.no_grad():
        first.network.head.conv.bias.fill_(0.25)
    path = tmp_path / "prior.safetensors"
    save_file({key: value.contiguous() for key, value in first.state_dict().items()}, path)
    begin_from(second, path)
    assert second.network.head.conv.bias.min() == 0.25
    gaussian = estimate_gaussian(frames, GRID, 6, stride=1)
    other = DiffusionPrior(gaussian, static_features(GRID, *[np.zeros(GRID.shape)] * 2), 2, [8], 1, False)
    with pytest.raises(BundleError, match=r"prior.safetensors: expected a prior of the same --fold"):
        begin_from(other, path)
    with pytest.raises(BundleError, match=r"nowhere.safetensors: expected a prior"):
        begin_from(second, tmp_path / "nowhere.safetensors")
