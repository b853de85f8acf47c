"""The optimiser of both networks: what Muon's step is by definition, who gets it, and that a training can go on."""

import pytest
import torch
from torch import Tensor, nn

from dacycle.cycler.training.optimiser import Optimiser


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(2, 8, 3)
        self.inner = nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(self.stem(x).tanh())
        return result


def stepped(network: Network, optimiser: Optimiser, count: int, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        network.zero_grad(set_to_none=True)
        loss = network(torch.randn(4, 2, 8, 8, generator=generator)).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def test_the_step_of_an_inner_convolution_is_orthogonal_and_that_of_the_stem_is_adams() -> None:
    network = Network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rate = 1e-3
    stepped(network, Optimiser(network, rate, weight_decay=0.0), 1)
    moved = {name: value - before[name] for name, value in network.state_dict().items()}
    singular = torch.linalg.svdvals(moved["inner.weight"].view(8, -1))
    # Five Newton-Schulz iterations in bfloat16 leave 0.7 to 1.2; 0.2 sqrt(72) matches the size of AdamW's steps.
    assert singular.min() > 0.6 * rate * 0.2 * 72**0.5
    assert singular.max() < 1.3 * rate * 0.2 * 72**0.5
    for name in ("stem.weight", "stem.bias"):  # AdamW's first step: the rate, with the sign of the gradient
        assert moved[name].abs().max().item() == pytest.approx(rate, rel=1e-3)


class Filter(nn.Module):
    """As LUCIE's blocks have it: a matrix over channels per degree, real and imaginary part."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.filter = nn.Module()
        self.filter.filter = nn.Module()
        self.filter.filter.weight = nn.Parameter(torch.randn(6, 6, 4, 2, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bil,iolk->bolk", x, self.filter.filter.weight)  # type: ignore[arg-type]


def test_the_step_of_a_spectral_filter_is_orthogonal_degree_by_degree() -> None:
    network, rate = Filter(), 1e-3
    before = network.filter.filter.weight.detach().clone()
    optimiser = Optimiser(network, rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(4)
    scale = torch.tensor([1.0, 10.0, 0.1, 1.0])  # degrees whose gradients differ in size move alike
    target = torch.randn(16, 6, 4, 2, generator=generator)
    loss = (network(torch.randn(16, 6, 4, generator=generator) * scale) * target).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    moved = (network.filter.filter.weight.detach() - before).permute(2, 3, 0, 1)
    singular = torch.linalg.svdvals(moved)
    assert singular.shape == (4, 2, 6)
    assert singular.min() > 0.6 * rate * 0.2 * 6**0.5
    assert singular.max() < 1.3 * rate * 0.2 * 6**0.5


def test_the_pace_scales_the_step() -> None:
    steps = []
    for factor in (1.0, 0.25):
        network = Network()
        before = network.inner.weight.detach().clone()
        optimiser = Optimiser(network, 1e-3, 0.0)
        optimiser.pace(factor)
        stepped(network, optimiser, 1)
        steps.append((network.inner.weight - before).norm().item())
    assert steps[1] == pytest.approx(steps[0] / 4, rel=1e-3)


def test_a_training_goes_on_as_if_it_had_not_been_interrupted() -> None:
    whole = Network()
    optimiser = Optimiser(whole, 1e-3, 1e-3)
    stepped(whole, optimiser, 3, seed=1)
    stepped(whole, optimiser, 3, seed=2)
    first = Network()
    optimiser = Optimiser(first, 1e-3, 1e-3)
    stepped(first, optimiser, 3, seed=1)
    second = Network()
    second.load_state_dict(first.state_dict())
    later = Optimiser(second, 1e-3, 1e-3)
    later.load_state_dict(optimiser.state_dict())
    stepped(second, later, 3, seed=2)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=0, atol=0)
