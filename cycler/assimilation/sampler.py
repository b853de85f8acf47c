"""From noise to a sample: the ladder of noise levels and the solvers of the probability-flow equation, by name.

    dx / d sigma = (x - D(x; sigma)) / sigma,  whatever the noise's covariance.

With r = sigma' / sigma the step from sigma to sigma' is x' = r x + (1 - r) T, where T is the mean of D over the step,
weighted by d(1 / sigma): Euler takes D at the step's beginning, the multistep rules extrapolate it from earlier calls.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dacycle.cycler.assimilation.adams_bashforth import mean_over_step
from dacycle.cycler.assimilation.prior import Denoiser

__all__ = ["geometric_ladder", "karras_ladder", "sample"]

Noise = Callable[[], Tensor]


def karras_ladder(largest: float, smallest: float, steps: int, rho: float = 7.0) -> list[float]:
    """``steps`` decreasing noise levels (Karras et al. 2022, eq. 5)."""
    if steps == 1:
        return [largest]
    start, end = largest ** (1 / rho), smallest ** (1 / rho)
    return [(start + k / (steps - 1) * (end - start)) ** rho for k in range(steps)]


def geometric_ladder(largest: float, smallest: float, steps: int) -> list[float]:
    """``steps`` decreasing noise levels at equal ratios, the multistep rules' own variable being ln sigma."""
    if steps == 1:
        return [largest]
    return [largest * (smallest / largest) ** (k / (steps - 1)) for k in range(steps)]


@dataclass
class Flow:
    """One way down a ladder: what a solver sees. ``levels`` and ``means``: of the calls so far, newest last."""

    denoiser: Denoiser
    noise: Noise
    check: Callable[[], None]
    levels: list[float] = field(default_factory=list)
    means: list[Tensor] = field(default_factory=list)

    def call(self, x: Tensor, level: float) -> Tensor:
        """D(x; level)."""
        self.check()
        return self.denoiser(x, torch.full((len(x),), level, device=x.device))


Step = Callable[[Flow, Tensor, float], Tensor]
"""(flow, x at the newest level, next level) -> x at the next level."""


def _adams_bashforth(order: int) -> Step:
    def step(flow: Flow, x: Tensor, target: float) -> Tensor:
        ratio = target / flow.levels[-1]
        weights = mean_over_step(flow.levels[-order:], target)
        mean = torch.zeros_like(x)
        for weight, known in zip(weights, flow.means[-order:], strict=True):
            mean += weight * known
        return ratio * x + (1 - ratio) * mean

    return step


def _multistep(flow: Flow, x: Tensor, target: float) -> Tensor:
    """D extrapolated to the middle of the step in ln sigma (DPM-Solver++ 2M of Lu et al. 2022)."""
    level, mean = flow.levels[-1], flow.means[-1]
    ratio = target / level
    if len(flow.means) > 1:
        step, last = torch.log(torch.tensor([level / target, flow.levels[-2] / level]))
        mean = mean + (mean - flow.means[-2]) * (step / (2 * last)).to(x.device)
    return ratio * x + (1 - ratio) * mean


def _heun(flow: Flow, x: Tensor, target: float) -> Tensor:
    """The mean of the slopes at both ends, by a second call (Karras et al. 2022, algorithm 1)."""
    level, mean = flow.levels[-1], flow.means[-1]
    slope = (x - mean) / level
    predicted = x + (target - level) * slope
    corrected = (predicted - flow.call(predicted, target)) / target
    return x + (target - level) * (slope + corrected) / 2


def _stochastic(flow: Flow, x: Tensor, target: float) -> Tensor:
    """A draw of x at the next level given x and x0 = D (ancestral sampling; Ho et al. 2020)."""
    ratio = (target / flow.levels[-1]) ** 2
    return ratio * x + (1 - ratio) * flow.means[-1] + target * math.sqrt(1 - ratio) * flow.noise()


STEPS: dict[str, Step] = {
    "multistep": _multistep,
    "euler": _adams_bashforth(1),
    "heun": _heun,
    "ab2": _adams_bashforth(2),
    "ab3": _adams_bashforth(3),
    "stochastic": _stochastic,
}
KEPT = 3  # calls that a solver may look back on


def _no_noise() -> Tensor:
    raise ValueError("the stochastic solver needs noise to draw from")


def sample(
    denoiser: Denoiser,
    x: Tensor,
    ladder: list[float],
    check: Callable[[], None] = lambda: None,
    solver: str = "multistep",
    noise: Noise = _no_noise,
) -> Tensor:
    """Follow the flow from ``x`` at noise level ``ladder[0]``; the denoiser's mean at the last level is returned.

    One call of the denoiser per level (Heun: two). ``check`` is called before each and may raise to abandon the work.
    ``noise()`` gives unit noise like ``x``, white on the sphere, for the stochastic solver.
    """
    flow, step = Flow(denoiser, noise, check), STEPS[solver]
    for k, level in enumerate(ladder):
        mean = flow.call(x, level)
        if k == len(ladder) - 1:
            return mean
        flow.levels, flow.means = [*flow.levels, level][-KEPT:], [*flow.means, mean][-KEPT:]
        x = step(flow, x, ladder[k + 1])
    return x
