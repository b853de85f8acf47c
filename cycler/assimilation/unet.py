"""The residual network of the prior: a small U-Net on folded pixels.

``fold`` x ``fold`` pixels become channels at the stem, so that the convolutions run on a grid they can afford.
Convolutions are cyclic in longitude; across a pole the neighbouring row is the same row seen half a turn away.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["UNet"]


class _Surround(torch.autograd.Function):
    """One more row and column on every side: cyclic in longitude, continued across the poles.

    Made of slices, its gradient would be five additions of whole fields; only the border needs any.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        n, channels, nlat, nlon = x.shape
        half = nlon // 2
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        y = torch.empty((n, channels, nlat + 2, nlon + 2), dtype=x.dtype, device=x.device, memory_format=layout)
        y[..., 1:-1, 1:-1] = x
        y[..., 0, 1:-1], y[..., -1, 1:-1] = x[..., 0, :].roll(half, -1), x[..., -1, :].roll(half, -1)
        y[..., 0], y[..., -1] = y[..., -2], y[..., 1]
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Linear: the gradient needs nothing of the input."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = gradients
        half = (y.shape[-1] - 2) // 2
        x = y[..., 1:-1, 1:-1].clone()
        x[..., -1] += y[..., 1:-1, 0]
        x[..., 0] += y[..., 1:-1, -1]
        for row, border in ((0, y[..., 0, :]), (-1, y[..., -1, :])):
            beyond = border[..., 1:-1].clone()
            beyond[..., -1] += border[..., 0]
            beyond[..., 0] += border[..., -1]
            x[..., row, :] += beyond.roll(-half, -1)
        return x


def surround(x: Tensor) -> Tensor:
    """(n, channels, nlat, nlon) -> (n, channels, nlat + 2, nlon + 2)."""
    result: Tensor = _Surround.apply(x)  # type: ignore[no-untyped-call]
    return result


class SphereConv(nn.Module):
    """3x3 convolution on a latitude-longitude grid: cyclic in longitude, continued across the poles."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, nlat, nlon) -> (n, outputs, nlat / stride, nlon / stride)."""
        result: Tensor = self.conv(surround(x))
        return result


class ResidualBlock(nn.Module):
    """Two convolutions with group norms; the embedding of noise level and season scales and shifts between them."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, width), SphereConv(width, width)
        self.norm2, self.conv2 = nn.GroupNorm(8, width), SphereConv(width, width)
        self.modulation = nn.Linear(embedding, 2 * width)
        nn.init.zeros_(self.conv2.conv.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Same shape as ``x``."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        result: Tensor = x + self.conv2(F.silu(h * (1 + scale) + shift))
        return result


class Stage(nn.Module):
    """Residual blocks at one resolution."""

    def __init__(self, width: int, blocks: int, embedding: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(width, embedding) for _ in range(blocks))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Same shape as ``x``."""
        for block in self.blocks:
            x = block(x, embedding)
        return x


class UNet(nn.Module):
    """Maps (n, inputs, nlat, nlon) and conditions (n, conditions) to a field and to gates.

    The field (n, outputs, nlat, nlon) is made pixel by pixel; the gates (n, gates, nlat, nlon) are smooth: one value
    per folded pixel, interpolated. ``widths``: channels of each resolution, finest first; ``blocks``: residual blocks
    per resolution and direction.
    """

    frequencies: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        gates: int,
        conditions: int,
        fold: int,
        widths: list[int],
        blocks: int,
        embedding: int = 128,
    ) -> None:
        super().__init__()
        self.fold = fold
        self.register_buffer("frequencies", 2.0 ** torch.arange(8) * math.pi / 8, persistent=False)
        self.embed = nn.Sequential(
            nn.Linear(conditions + 16, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.stem = SphereConv(inputs * fold**2, widths[0])
        self.down = nn.ModuleList(Stage(width, blocks, embedding) for width in widths[:-1])
        self.shrink = nn.ModuleList(SphereConv(fine, coarse, 2) for fine, coarse in pairwise(widths))
        self.middle = Stage(widths[-1], blocks, embedding)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(Stage(width, blocks, embedding) for width in widths[:-1])
        self.head = SphereConv(widths[0], outputs * fold**2)
        self.gate = nn.Conv2d(widths[0], gates, 1)
        for parameter in [*self.head.parameters(), *self.gate.parameters()]:
            nn.init.zeros_(parameter)  # an untrained network leaves the Gaussian prior as it is

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """The first condition is the logarithm of the noise level; it is expanded in Fourier features."""
        phase = conditions[:, :1] * self.frequencies
        e = self.embed(torch.cat([conditions, phase.cos(), phase.sin()], 1))
        x = self.stem(F.pixel_unshuffle(x, self.fold).contiguous(memory_format=torch.channels_last))
        skips = []
        for stage, shrink in zip(self.down, self.shrink, strict=True):
            x = stage(x, e)
            skips.append(x)
            x = shrink(x)
        x = self.middle(x, e)
        for stage, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            x = stage(skips.pop() + F.interpolate(grow(x), scale_factor=2), e)
        gates = F.interpolate(surround(self.gate(x)).float(), scale_factor=self.fold, mode="bilinear")
        inner = slice(self.fold, -self.fold)
        return F.pixel_shuffle(self.head(x), self.fold), gates[..., inner, inner]
