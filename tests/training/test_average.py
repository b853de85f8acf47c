"""The network between two networks."""

import pytest
import torch

from dacycle.cycler.training.average_command import between
from dacycle.errors import BundleError


def test_the_network_is_between_and_all_else_stays() -> None:
    own = {"network.a": torch.tensor([0.0, 2.0]).half(), "network.n": torch.tensor(3), "gaussian.c": torch.ones(2)}
    other = {"network.a": torch.tensor([1.0, 4.0]), "network.n": torch.tensor(9), "gaussian.c": torch.zeros(2)}
    found = between(own, other, 0.25)
    torch.testing.assert_close(found["network.a"], torch.tensor([0.25, 2.5]))
    assert found["network.n"] == 3
    torch.testing.assert_close(found["gaussian.c"], torch.ones(2))
    torch.testing.assert_close(between(own, other, 0.0)["network.a"], own["network.a"].float())


def test_networks_of_two_shapes_have_nothing_between() -> None:
    own = {"network.a": torch.zeros(2)}
    with pytest.raises(BundleError, match=r"expected network.a of the shape \(2,\); got \(3,\)"):
        between(own, {"network.a": torch.zeros(3)}, 0.5)
    with pytest.raises(BundleError, match="got nothing"):
        between(own, {}, 0.5)
