"""The world in a mirror that stands on the equator: twice as many days to learn from, at the cost of no run.

Physics knows no north: an atmosphere reflected about the equator, its mountains and seasons with it, is another that
might be. Winds across the equator change their sign and seasons their half of the year; the hour of the day stays.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from dacycle.channels import Channel
from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.prior import DiffusionPrior

__all__ = ["Mirror"]

GROUND = 2  # of the statics: orography and land. The others tell where a point is on the sphere, there as here.
YEARLY = torch.tensor([-1.0, -1.0, 1.0, 1.0])


class Mirror:
    """``prior``: the same network, on the planet in the mirror."""

    def __init__(self, prior: DiffusionPrior, channels: Sequence[Channel]) -> None:
        self.prior = copy.copy(prior)
        statics = prior.statics.clone()
        statics[:GROUND] = prior.statics[:GROUND].flip(-2)
        self.prior._buffers = {**prior._buffers, "statics": statics}
        self._sign = torch.tensor([-1.0 if channel.variable == "v" else 1.0 for channel in channels])[:, None, None]
        if prior.balance is not None:
            balance = _mirrored(prior.balance, self._sign[prior.balance.winds])
            self.prior._modules = {**prior._modules, "balance": balance}

    def states(self, x: Tensor) -> Tensor:
        """(n, channels, nlat, nlon) in the mirror. So are control variables, whose balance is mirrored like the
        winds."""
        return x.flip(-2) * self._sign.to(x)

    def season(self, season: Tensor) -> Tensor:
        """``season_features`` (n, 4) there."""
        return season * YEARLY.to(season)


def _mirrored(balance: Balance, sign: Tensor) -> Balance:
    """``balance`` there; ``sign`` (winds, 1, 1): of the winds. Differences to the north change theirs, too."""
    found = copy.copy(balance)
    turn = sign[:, None] * torch.tensor([1.0, -1.0])[:, None, None]
    flipped = {name: value.flip(-2) for name, value in balance._buffers.items() if value is not None}
    flipped["coefficients"] = flipped["coefficients"] * turn.to(flipped["coefficients"])
    found._buffers = {**flipped}
    return found
