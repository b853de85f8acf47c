"""The network: its published size, names and numbers, and what the sphere demands of it."""

import pytest
import torch
from torch_harmonics import InverseRealSHT, RealSHT

from dacycle.channels import channel
from dacycle.emulators.gradients import EARTH_RADIUS, Gradients
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.sfno import DegreeFilter, Derivatives, InstanceNorm, Sfno, SfnoShape, Transforms
from dacycle.emulators.spectral import Harmonics


@pytest.mark.parametrize(("grid", "count"), [((48, 96), 4_122_864), ((32, 64), 2_694_384)])
def test_has_the_published_number_of_parameters(grid: tuple[int, int], count: int) -> None:
    network = Sfno(SfnoShape(*grid, inputs=7, outputs=6))
    assert sum(p.numel() for p in network.parameters()) == count


def test_state_dict_has_the_published_names_and_shapes() -> None:
    state = Sfno(SfnoShape(48, 96, inputs=7, outputs=6)).state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes["pos_embed"] == (1, 72, 48, 96)
    assert shapes["device_buffer"] == (0,)
    assert shapes["encoder.0.weight"] == (72, 7, 1, 1)
    assert shapes["encoder.2.weight"] == (72, 72, 1, 1)
    assert shapes["decoder.0.weight"] == (72, 79, 1, 1)
    assert shapes["decoder.2.weight"] == (6, 72, 1, 1)
    block = {name.removeprefix("blocks.7."): shape for name, shape in shapes.items() if name.startswith("blocks.7.")}
    assert block == {
        "norm0.weight": (72,),
        "norm0.bias": (72,),
        "filter.filter.weight": (72, 72, 43, 2),
        "filter.filter.bias": (1, 72, 1, 1),
        "inner_skip.weight": (72, 72, 1, 1),
        "inner_skip.bias": (72,),
        "norm1.weight": (72,),
        "norm1.bias": (72,),
        "mlp.fwd.0.weight": (144, 72, 1, 1),
        "mlp.fwd.0.bias": (144,),
        "mlp.fwd.2.weight": (72, 144, 1, 1),
        "mlp.fwd.2.bias": (72,),
    }
    assert len(shapes) == 2 + 3 + 8 * 12 + 3


def test_transforms_are_those_of_torch_harmonics() -> None:
    x = torch.randn(3, 2, 8, 16)
    transforms = Transforms(8, 16, 7)
    expected = RealSHT(8, 16, lmax=7, mmax=7, grid="legendre-gauss")(x)
    modes = transforms.analyse(x.permute(3, 2, 0, 1).contiguous())
    ours = torch.complex(modes[:, 0], modes[:, 1]).permute(2, 3, 1, 0)
    assert torch.allclose(ours, expected, atol=1e-5)
    back = InverseRealSHT(8, 16, lmax=7, mmax=7, grid="legendre-gauss")(expected)
    assert torch.allclose(transforms.synthesise(modes).permute(2, 3, 1, 0), back, atol=1e-5)


def test_filter_is_one_complex_matrix_per_degree() -> None:
    channels, degrees = 3, 7
    layer, transforms = DegreeFilter(channels, degrees), Transforms(8, 16, degrees)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, channels, 8, 16)
    spectrum = RealSHT(8, 16, lmax=degrees, mmax=degrees, grid="legendre-gauss")(x)
    mixed = torch.einsum("bilm,iol->bolm", spectrum, torch.view_as_complex(layer.weight.detach()))
    expected = InverseRealSHT(8, 16, lmax=degrees, mmax=degrees, grid="legendre-gauss")(mixed) + layer.bias
    ours = layer(x.permute(3, 2, 0, 1).contiguous(), transforms).permute(2, 3, 1, 0)
    assert torch.allclose(ours, expected, atol=1e-4)


def test_filter_commutes_with_rotations_about_the_axis() -> None:
    layer, transforms = DegreeFilter(4, 7), Transforms(8, 16, 7)
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(16, 8, 1, 4)
    rotated = layer(x.roll(5, 0), transforms)
    assert torch.allclose(rotated, layer(x, transforms).roll(5, 0), atol=1e-4)


def test_norm_is_the_instance_norm_of_torch() -> None:
    norm = InstanceNorm(5)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, 5, 8, 16) * 3 + 1
    expected = torch.nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-6)
    ours = norm(x.permute(3, 2, 0, 1).contiguous()).permute(2, 3, 1, 0)
    assert torch.allclose(ours, expected, atol=1e-5)


def test_each_sample_is_computed_alone() -> None:
    network = Sfno(SfnoShape(8, 16, inputs=3, outputs=2, embed=8, layers=2))
    x = torch.randn(4, 3, 8, 16)
    together = network(x)
    assert together.shape == (4, 2, 8, 16)
    assert torch.allclose(together[2:3], network(x[2:3]), atol=1e-5)


def test_slopes_are_those_of_the_fields_to_the_east_and_to_the_north() -> None:
    harmonics = Harmonics(gaussian_grid(16, 32), 8)
    fields = harmonics.synthesise(torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(5)))
    found = Derivatives(16, 32)(fields.permute(3, 2, 0, 1)).permute(2, 3, 1, 0)
    channels = tuple(channel(name) for name in ("t500", "q500", "z500"))
    east, north = Gradients(channels, gaussian_grid(16, 32), 1.0).derivatives(fields)
    grid_length = EARTH_RADIUS / 16
    inside = slice(1, -1)  # the outermost rows lie within 6 degrees of the poles, where eastward slopes are bounded
    torch.testing.assert_close(found[:, :3, inside], grid_length * east[:, :, inside], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[:, 3:], grid_length * north, rtol=1e-3, atol=1e-4)


def test_slopes_change_nothing_until_they_are_learned_and_see_what_the_filter_cannot() -> None:
    """Isotropic filters of a zonal field give zonal fields without a direction: mirrored from north to south they
    mirror. What the slope to the north adds does not."""
    torch.manual_seed(0)
    plain = Sfno(SfnoShape(16, 32, inputs=2, outputs=1, embed=8, layers=1))
    seeing = Sfno(SfnoShape(16, 32, inputs=2, outputs=1, embed=8, layers=1, slopes=4))
    missing = seeing.load_state_dict(plain.state_dict(), strict=False)
    assert {name.split(".")[2] for name in missing.missing_keys} == {"slopes"}
    x = torch.randn(1, 2, 16, 32)
    assert torch.equal(seeing(x), plain(x))
    for network in (plain, seeing):
        torch.nn.init.zeros_(network.pos_embed)
    torch.nn.init.normal_(seeing.get_parameter("blocks.0.slopes.back.weight"))
    torch.testing.assert_close(plain(x.flip(-2)), plain(x).flip(-2), rtol=1e-4, atol=1e-5)
    assert (seeing(x.flip(-2)) - seeing(x).flip(-2)).abs().max() > 1e-2
