"""What a forecast does not reach, where it is large and where it is small.

Beyond the degrees of its emulator a forecast says nothing, and what is left is the climate's own variance. A covariance
per degree has that alike everywhere, in units of the anomalies' standard deviation; but where weather is made of
convection small scales are most of the variance, and where it is made of waves of thousands of kilometres they are a
few hundredths. Winds have less of them everywhere than control variables without correlation make one expect. So what
the covariance says there is multiplied, in the anomalies x, by a factor of channel and latitude
(``Bundle.small_scales``, measured by ``training/small_scales.py``).
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.points import PointOperator

__all__ = ["SmallScales"]


class SmallScales:
    """The factor as an operator on the prior's variables, B^-1 diag(factor) B with B from them to x."""

    def __init__(self, prior: GaussianPrior, factor: npt.NDArray[np.float32], balance: Balance | None) -> None:
        """``factor`` (channels, nlat), on standard deviations of x; ``balance``: B, where that is not the identity."""
        self._prior, self._balance = prior, balance
        self._rows = torch.as_tensor(factor, device=prior.rest.device)
        self._factor = self._rows[..., None].expand(-1, -1, prior.grid.shape[1])

    def at(self, points: PointOperator) -> Tensor:
        """The factor at every value (n,)."""
        return points.of_latitude(self._rows)

    def on(self, a: Tensor) -> Tensor:
        """Scaled coefficients (m, channels, L*L) -> the same of the field that is multiplied."""
        y = self._prior.synthesise(a)
        if self._balance is None:
            return self._prior.analyse(y * self._factor)
        return self._prior.analyse(self._balance.control(self._balance.state(y) * self._factor))
