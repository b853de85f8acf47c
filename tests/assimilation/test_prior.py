"""The prior: the Gaussian part against theory, the network's geometry, the weights' loading."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.prior import LARGEST_INPUT, load_prior, season_features
from dacycle.cycler.assimilation.unet import UNet, surround
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import BundleError

TIME = datetime(2001, 8, 25, tzinfo=UTC)


def simple_prior(lmax: int = 8) -> GaussianPrior:
    mixing = torch.tensor([[1.0, 0.0], [0.7, 0.7]])
    power = 40.0 * (1.0 + torch.arange(lmax)) ** -2.0
    return GaussianPrior(gaussian_grid(16, 32), power[:, None, None] * mixing @ mixing.T, torch.zeros(2))


def test_noise_is_white_in_spectral_space() -> None:
    prior = simple_prior()
    noise = prior.noise(torch.zeros(400, 1, 16, 32), torch.Generator().manual_seed(0))
    a = prior.analyse(noise)[:, 0]
    covariance = a.T @ a / len(a)
    assert (covariance.diagonal() - 1).abs().mean() < 0.07
    off = covariance - covariance.diagonal().diag()
    assert off.square().mean().sqrt() < 1.2 / 20  # sampling error of 400 draws is 1/20


def test_samples_have_the_prescribed_covariance() -> None:
    prior = simple_prior()
    a, _ = prior.sample(3000, torch.Generator().manual_seed(0))
    for ell in (0, 3, 7):
        block = a[:, :, ell**2 : (ell + 1) ** 2]
        found = torch.einsum("nck,ndk->cd", block, block) / (len(a) * (2 * ell + 1))
        torch.testing.assert_close(
            found, prior.covariance[ell], rtol=0.1, atol=0.02 * float(prior.covariance[ell].max())
        )


def test_the_denoiser_is_the_conditional_mean_per_degree() -> None:
    """D = Y C (C + sigma^2)^-1 Y' W x for band-limited x; the analytic gain of one channel pair, by hand."""
    prior = simple_prior()
    sigma = torch.tensor([1.7])
    a = torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(2))
    found = prior.analyse(prior.denoise(prior.synthesise(a), sigma))
    for ell in (0, 5):
        c = prior.covariance[ell].double()
        gain = c @ torch.linalg.inv(c + 1.7**2 * torch.eye(2).double())
        part = slice(ell**2, (ell + 1) ** 2)
        torch.testing.assert_close(found[0, :, part].double(), gain @ a[0, :, part].double(), rtol=1e-3, atol=1e-3)


def test_posterior_std_is_the_error_of_the_denoiser() -> None:
    prior = simple_prior()
    generator = torch.Generator().manual_seed(3)
    _, x0 = prior.sample(200, generator)
    sigma = torch.full((200,), 2.0)
    error = prior.denoise(x0 + 2.0 * prior.noise(x0, generator), sigma) - x0
    rms = (error.square() * prior.weights).mean((0, 2, 3)).sqrt()
    torch.testing.assert_close(rms, prior.posterior_std(sigma[:1])[0], rtol=0.05, atol=0.0)


def test_the_network_knows_no_seam() -> None:
    torch.manual_seed(0)
    net = UNet(3, 2, 4, conditions=5, fold=2, widths=[16, 16], blocks=1)
    for layer in (net.head.conv, net.gate):
        torch.nn.init.normal_(layer.weight, std=0.1)
    x, conditions = torch.randn(1, 3, 16, 32), torch.randn(1, 5)
    for shifted, still in zip(net(x.roll(4, -1), conditions), net(x, conditions), strict=True):
        torch.testing.assert_close(shifted, still.roll(4, -1), rtol=1e-3, atol=1e-4)


def test_the_gates_are_interpolated_across_the_poles() -> None:
    """A function that is linear in the distance from the pole keeps its value half-way across it: no edge there."""
    net = UNet(3, 2, 1, conditions=5, fold=4, widths=[16, 16], blocks=1)
    with torch.no_grad():
        net.gate.weight.normal_()
    gates = net(torch.randn(1, 3, 32, 64), torch.randn(1, 5))[1]
    north = gates[0, 0, 0]
    across = gates[0, 0, 1]
    # Rows 0 and 1 lie on one straight line that goes on to the other side, half a turn away.
    torch.testing.assert_close(1.5 * north - 0.5 * across, (1.5 * north - 0.5 * across).roll(32), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("level", [0.1, 3.0])
def test_the_variants_are_denoisers_of_a_scaled_covariance(level: float) -> None:
    prior = simple_prior()
    x = torch.randn(2, 2, 16, 32, generator=torch.Generator().manual_seed(4))
    sigma = torch.tensor([level, 2 * level])
    gaussian, variants, _ = prior.denoise_variants(x, sigma, (0.25, 8.0))
    for k, factor in enumerate((0.25, 8.0)):
        scaled = GaussianPrior(prior.grid, factor * prior.covariance, prior.rest)
        torch.testing.assert_close(gaussian + variants[:, k], scaled.denoise(x, sigma), rtol=1e-3, atol=1e-4)


def test_what_no_state_should_have_is_for_the_gaussian_and_not_for_the_network(tiny_bundle: Bundle) -> None:
    prior = load_prior(tiny_bundle)
    shown: list[torch.Tensor] = []
    prior.network.register_forward_pre_hook(lambda network, inputs: shown.append(inputs[0]))
    x = torch.zeros(1, 17, *tiny_bundle.grid.shape)
    x[0, 4, 3, 5], x[0, 5, 3, 5], x[0, 6, 3, 5] = 3.0, 1e4, -1e4
    sigma = torch.ones(1)
    gaussian, _, _ = prior.parts(x, sigma, season_features(TIME)[None])
    torch.testing.assert_close(gaussian, prior.gaussian.denoise(x, sigma))
    of_state = shown[0][0, :17, 3, 5]
    weight = prior.gaussian.weights.expand(tiny_bundle.grid.shape)[3, 5]
    torch.testing.assert_close(of_state[4], 3.0 / (1 + 1 / weight).sqrt())
    assert (of_state[5], of_state[6]) == (LARGEST_INPUT, -LARGEST_INPUT)


def test_the_seasons_are_where_the_calendar_has_them() -> None:
    winter, summer = (
        season_features(datetime(2001, 1, 1, tzinfo=UTC)),
        season_features(datetime(2001, 7, 2, tzinfo=UTC)),
    )
    assert winter[0] > 0.99
    assert summer[0] < -0.99
    noon = season_features(datetime(2001, 7, 2, 12, tzinfo=UTC))
    assert (noon[2] - summer[2]) == pytest.approx(-2.0, abs=1e-5)


def test_an_untrained_network_leaves_the_gaussian_prior(tiny_bundle: Bundle) -> None:
    prior = load_prior(tiny_bundle)
    x = torch.randn(2, 17, 16, 32, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.5, 2.0])
    torch.testing.assert_close(prior(x, sigma, season_features(TIME).expand(2, -1)), prior.gaussian.denoise(x, sigma))


def test_weights_of_another_shape_are_told_in_one_line(tiny_bundle_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle_path, folder)
    weights = load_file(folder / "prior.safetensors")
    weights["network.stem.conv.weight"] = torch.zeros(3, 3)
    save_file(weights, folder / "prior.safetensors")
    with pytest.raises(BundleError, match=r"prior\.safetensors: the weights do not fit.*stem") as caught:
        load_prior(open_bundle(str(folder)))
    assert "\n" not in str(caught.value)
    save_file({"other": torch.zeros(2)}, folder / "prior.safetensors")
    with pytest.raises(BundleError, match=r"gaussian\.covariance should have shape \(degrees, 17, 17\); got None"):
        load_prior(open_bundle(str(folder)))


def test_a_truncated_file_is_told_in_one_line(tiny_bundle_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle_path, folder)
    content = (folder / "prior.safetensors").read_bytes()
    (folder / "prior.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match="expected a safetensors file"):
        load_prior(open_bundle(str(folder)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_field_goes_on_beyond_its_border_as_on_the_sphere(layout: torch.memory_format) -> None:
    """Cyclic in longitude; across a pole the same row, half a turn away. The gradient is that of these indices."""
    x = torch.randn(2, 3, 6, 8, dtype=torch.double).contiguous(memory_format=layout).requires_grad_()
    y = surround(x)
    lat, lon = torch.tensor([0, *range(6), 5]), torch.arange(-1, 9) % 8
    turned = torch.tensor([4, *[0] * 6, 4])
    torch.testing.assert_close(y, x[:, :, lat[:, None], (lon[None] + turned[:, None]) % 8], rtol=0, atol=0)
    assert torch.autograd.gradcheck(surround, (x,))
