"""The network: its published size, names and numbers, and what the sphere demands of it."""

import pytest
import torch
from torch_harmonics import InverseRealSHT, RealSHT

from dacycle.emulators.sfno import DegreeFilter, InstanceNorm, Sfno, SfnoShape, Transforms


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
