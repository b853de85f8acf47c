"""A widened network computes what the narrow one does, and its copies do not learn alike."""

import pytest
import torch

from dacycle.cycler.assimilation.unet import UNet
from dacycle.cycler.training.widening import widened


def network(widths: list[int], seed: int) -> UNet:
    torch.manual_seed(seed)
    made = UNet(6, 3, 4, 5, 2, widths, 1)
    with torch.no_grad():  # what begins at zero would hide a mistake
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


@pytest.mark.parametrize("widths", [[16, 24], [32, 24], [16, 72], [48, 48]])
def test_a_widened_network_computes_the_same(widths: list[int]) -> None:
    narrow, wide = network([16, 24], 0), network(widths, 1)
    x, conditions = torch.randn(2, 6, 8, 16), torch.randn(2, 5)
    wide.load_state_dict(widened(narrow.state_dict(), wide.state_dict()))
    with torch.no_grad():
        for ours, theirs in zip(wide(x, conditions), narrow(x, conditions), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_copies_of_a_channel_get_different_gradients() -> None:
    narrow, wide = network([16, 24], 0), network([32, 48], 1)
    wide.load_state_dict(widened(narrow.state_dict(), wide.state_dict()))
    field, gates = wide(torch.randn(2, 6, 8, 16), torch.randn(2, 5))
    (field.square().mean() + gates.square().mean()).backward()
    gradient = wide.middle.blocks[0].conv1.conv.weight.grad
    assert gradient is not None
    first, second = gradient[0::2], gradient[1::2]
    assert (first - second).square().mean() > 0.1 * first.square().mean()


def test_other_layers_and_broken_factors_are_told() -> None:
    narrow = network([16, 24], 0).state_dict()
    with pytest.raises(ValueError, match=r"stem.conv.weight: \(16, .*does not grow to \(24,"):
        widened(narrow, network([24, 24], 1).state_dict())
    with pytest.raises(ValueError, match="other layers"):
        widened(narrow, network([16, 24, 32], 1).state_dict())


def test_inputs_and_knowledge_of_places_that_come_besides_count_for_nothing_at_first() -> None:
    small = network([16, 24], 0)
    torch.manual_seed(1)
    large = UNet(8, 3, 4, 5, 2, [16, 24], 1, place=3)
    large.load_state_dict(widened(small.state_dict(), large.state_dict()))
    x, conditions, place = torch.randn(2, 8, 8, 16), torch.randn(2, 5), torch.randn(1, 3, 8, 16)
    with torch.no_grad():
        told = small(x[:, :6], conditions)
        for ours, theirs in zip(large(x, conditions, place), told, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
        for parameter in large.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        first, second = large(x, conditions, place)[0], large(x, conditions, -place)[0]
    assert (first - second).square().mean() > 1e-3 * first.square().mean()
