"""From noise to a sample: the ladder of noise levels and the solver of the probability-flow equation.

dx / d sigma = (x - D(x; sigma)) / sigma, whatever the noise's covariance. Its exact solution for a D that is linear in
ln sigma gives the second-order multistep rule below (DPM-Solver++ 2M of Lu et al. 2022, in the variance-exploding
form); with D constant over the step it is Euler's.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dacycle.cycler.assimilation.prior import Denoiser

__all__ = ["karras_ladder", "sample"]


def karras_ladder(largest: float, smallest: float, steps: int, rho: float = 7.0) -> list[float]:
    """``steps`` decreasing noise levels (Karras et al. 2022, eq. 5)."""
    if steps == 1:
        return [largest]
    start, end = largest ** (1 / rho), smallest ** (1 / rho)
    return [(start + k / (steps - 1) * (end - start)) ** rho for k in range(steps)]


def sample(denoiser: Denoiser, x: Tensor, ladder: list[float], check: Callable[[], None] = lambda: None) -> Tensor:
    """Follow the flow from ``x`` at noise level ``ladder[0]``; one call of the denoiser per level, the last returned.

    ``check`` is called before each of them and may raise to abandon the work.
    """
    previous: Tensor | None = None
    for k, level in enumerate(ladder):
        check()
        x0 = denoiser(x, torch.full((len(x),), level, device=x.device))
        if k == len(ladder) - 1:
            return x0
        ratio = ladder[k + 1] / level
        target = x0
        if previous is not None:
            # Extrapolate D to the middle of the step in ln sigma.
            step = torch.log(torch.tensor(ladder[k] / ladder[k + 1]))
            last = torch.log(torch.tensor(ladder[k - 1] / ladder[k]))
            target = x0 + (x0 - previous) * (step / (2 * last)).to(x.device)
        x = ratio * x + (1 - ratio) * target
        previous = x0
    return x
