"""Moment-matching posterior sampling (Rozet et al. 2024): the network's own posterior covariance, by its derivatives.

By Tweedie's formula Cov[x0 | x_sigma] = sigma^2 N J', with J the denoiser's Jacobian. So H V H' can be applied to a
vector by one vector-Jacobian product, and (I + H V H') z = y - H x0 be solved by conjugate gradients without any model
of the covariance. Each iteration costs a backward pass: the costly reference for the cheaper methods.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dacycle.cycler.assimilation.gain import Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.prior import Denoiser
from dacycle.cycler.assimilation.stacked import Stacked

__all__ = ["MomentMatching"]


@dataclass(frozen=True)
class MomentMatching:
    """``iterations`` of conjugate gradients, each one vector-Jacobian product; one more leads back to the state."""

    prior: GaussianPrior
    iterations: int = 5

    def guide(self, denoiser: Denoiser, observations: Observations) -> Denoiser:
        """The denoiser given ``observations``."""
        stacked = Stacked(self.prior, observations)

        def guided(x: Tensor, sigma: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                x0 = denoiser(x, sigma)
            noise = sigma[0] ** 2 / self.prior.weights

            def spread(z: Tensor) -> Tensor:
                """V H' z, a field."""
                (product,) = torch.autograd.grad(x0, x, stacked.adjoint(z), retain_graph=True)
                return noise * product

            mean = x0.detach()
            residual = stacked.values - stacked.apply(mean)
            z, increment = torch.zeros_like(residual), torch.zeros_like(mean)
            p, rho = residual, residual.square().sum(1, keepdim=True)
            for _ in range(self.iterations):
                moved = spread(p)
                q = p + stacked.apply(moved)
                alpha = rho / (p * q).sum(1, keepdim=True).clamp_min(1e-30)
                z, residual = z + alpha * p, residual - alpha * q
                increment = increment + alpha[..., None, None] * moved
                rho, previous = residual.square().sum(1, keepdim=True), rho
                p = residual + rho / previous.clamp_min(1e-30) * p
            return mean + increment

        return guided
