"""A trained climatological score of Lorenz-96: the closed-form Gaussian denoiser plus a network on the ring.

    D(x; sigma) = G(x; sigma) + s(sigma) F(x / sqrt(1 + sigma^2), ln sigma)

as in the product, with cyclic convolutions along the ring in the place of the U-Net. States are anomalies over the
climatological standard deviation.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from tests.proving.lorenz96 import DIMENSION, trajectory
from tests.proving.single_mode import as_fields, as_variables, single_mode_prior

__all__ = ["Climate", "RingPrior", "climate", "train"]


@dataclass(frozen=True)
class Climate:
    """``mean`` and ``std`` of any variable (they are alike), and the correlation (40, 40) of the normalised state."""

    mean: float
    std: float
    correlation: Tensor
    states: Tensor

    def normalise(self, x: Tensor) -> Tensor:
        """Physical -> normalised, single precision."""
        return ((x - self.mean) / self.std).float()

    def physical(self, x: Tensor) -> Tensor:
        """Normalised -> physical, double precision."""
        return x.double() * self.std + self.mean


def climate(samples: int = 40_000) -> Climate:
    """From independent runs, every tenth step kept; the covariance is averaged along the ring."""
    states = trajectory(samples // 500 * 10, 500, seed=1)[::10].flatten(0, 1)
    anomalies = states - states.mean()
    std = float(anomalies.std())
    lags = torch.stack([(anomalies * anomalies.roll(-k, -1)).mean() for k in range(DIMENSION)]) / std**2
    k = torch.arange(DIMENSION)
    circulant = lags[(k[:, None] - k) % DIMENSION]
    return Climate(float(states.mean()), std, (circulant + circulant.T) / 2, (anomalies / std).float())


class RingPrior(nn.Module):
    """Maps x (n, 40, 2, 4) and sigma (n,) to E[x0 | x]."""

    def __init__(self, prior: GaussianPrior, width: int = 48, layers: int = 5) -> None:
        super().__init__()
        self.prior = prior
        self.stem = nn.Conv1d(1, width, 5, padding=2, padding_mode="circular")
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, 5, padding=2, padding_mode="circular") for _ in range(layers)
        )
        self.modulations = nn.ModuleList(nn.Linear(17, 2 * width) for _ in range(layers))
        self.head = nn.Conv1d(width, 1, 1)
        nn.init.zeros_(self.head.weight)

    def residual(self, v: Tensor, sigma: Tensor) -> Tensor:
        """F: (n, 40) -> (n, 40)."""
        level = sigma.log()[:, None]
        phase = level * 2.0 ** torch.arange(8) * (math.pi / 8)
        conditions = torch.cat([level, phase.cos(), phase.sin()], 1)
        h = self.stem((v / (1 + sigma[:, None] ** 2).sqrt())[:, None])
        for convolution, modulation in zip(self.convolutions, self.modulations, strict=True):
            scale, shift = modulation(conditions)[..., None].chunk(2, 1)
            h = h + convolution(nn.functional.silu(h * (1 + scale) + shift))
        out: Tensor = self.head(nn.functional.silu(h))[:, 0]
        return out

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The denoiser."""
        scale = self.prior.posterior_std(sigma).mean(1)[:, None, None, None] * math.sqrt(8)
        return self.prior.denoise(x, sigma) + scale * as_fields(self.residual(as_variables(x), sigma))


def train(known: Climate, steps: int, seed: int = 0, batch: int = 256) -> tuple[RingPrior, list[float]]:
    """A prior after ``steps`` of Adam, and the losses: denoising error relative to the Gaussian's."""
    torch.manual_seed(seed)
    prior = single_mode_prior(known.correlation.float())
    model = RingPrior(prior)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    eigenvalues, vectors = torch.linalg.eigh(known.correlation.float())
    losses = []
    for _ in range(steps):
        x0 = known.states[torch.randint(len(known.states), (batch,))]
        sigma = torch.exp(torch.empty(batch).uniform_(math.log(0.015), math.log(6.0)))
        x = x0 + sigma[:, None] * torch.randn_like(x0)
        noise = sigma[:, None] ** 2
        gaussian = (x @ vectors * (eigenvalues / (eigenvalues + noise))) @ vectors.T
        scale = (eigenvalues * noise / (eigenvalues + noise)).mean(1, keepdim=True).sqrt()
        error = (x0 - gaussian) / scale - model.residual(x, sigma)
        loss = error.square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return model.eval().requires_grad_(False), losses
