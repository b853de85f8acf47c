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

PLACE_FEATURES = 32


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
    """Two convolutions with group norms; between them the embedding of noise level and season scales and shifts, and so
    do ``place`` features, point by point."""

    def __init__(self, width: int, embedding: int, place: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, width), SphereConv(width, width)
        self.norm2, self.conv2 = nn.GroupNorm(8, width), SphereConv(width, width)
        self.modulation = nn.Linear(embedding, 2 * width)
        nn.init.zeros_(self.conv2.conv.weight)
        self.place = nn.Conv2d(place, 2 * width, 1) if place else None
        if self.place is not None:
            nn.init.zeros_(self.place.weight)
            nn.init.zeros_(self.place.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor, place: Tensor | None) -> Tensor:
        """Same shape as ``x``; ``place`` (1, features, nlat, nlon)."""
        moved = self.modulation(embedding)[:, :, None, None]
        if self.place is not None:
            moved = moved + self.place(place)
        scale, shift = moved.chunk(2, 1)
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        result: Tensor = x + self.conv2(F.silu(h * (1 + scale) + shift))
        return result


class Stage(nn.Module):
    """Residual blocks at one resolution."""

    def __init__(self, width: int, blocks: int, embedding: int, place: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(width, embedding, place) for _ in range(blocks))

    def forward(self, x: Tensor, embedding: Tensor, place: Tensor | None) -> Tensor:
        """Same shape as ``x``."""
        for block in self.blocks:
            x = block(x, embedding, place)
        return x


class UNet(nn.Module):
    """Maps (n, inputs, nlat, nlon) and conditions (n, conditions) to a field and to gates.

    The field (n, outputs, nlat, nlon) is made pixel by pixel; the gates (n, gates, nlat, nlon) are smooth: one value
    per folded pixel, interpolated. ``widths``: channels of each resolution, finest first; ``blocks``: residual blocks
    per resolution and direction. ``place``: so many fields that say where a pixel is, which every block may scale and
    shift by: filters are the same everywhere, what turns winds and what grid cells measure is not.
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
        place: int = 0,
    ) -> None:
        super().__init__()
        self.fold = fold
        self.register_buffer("frequencies", 2.0 ** torch.arange(8) * math.pi / 8, persistent=False)
        self.embed = nn.Sequential(
            nn.Linear(conditions + 16, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        features = PLACE_FEATURES if place else 0
        self.locate = nn.Sequential(nn.Conv2d(place, features, 1), nn.SiLU()) if place else None
        self.stem = SphereConv(inputs * fold**2, widths[0])
        self.down = nn.ModuleList(Stage(width, blocks, embedding, features) for width in widths[:-1])
        self.shrink = nn.ModuleList(SphereConv(fine, coarse, 2) for fine, coarse in pairwise(widths))
        self.middle = Stage(widths[-1], blocks, embedding, features)
        self.grow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(Stage(width, blocks, embedding, features) for width in widths[:-1])
        self.head = SphereConv(widths[0], outputs * fold**2)
        self.gate = nn.Conv2d(widths[0], gates, 1)
        for parameter in [*self.head.parameters(), *self.gate.parameters()]:
            nn.init.zeros_(parameter)  # an untrained network leaves the Gaussian prior as it is

    def forward(self, x: Tensor, conditions: Tensor, place: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The first condition is the logarithm of the noise level; it is expanded in Fourier features. ``place``
        (1, place, nlat, nlon)."""
        phase = conditions[:, :1] * self.frequencies
        e = self.embed(torch.cat([conditions, phase.cos(), phase.sin()], 1))
        x = self.stem(F.pixel_unshuffle(x, self.fold).contiguous(memory_format=torch.channels_last))
        places = self._places(place)
        skips = []
        for stage, shrink, where in zip(self.down, self.shrink, places[:-1], strict=True):
            x = stage(x, e, where)
            skips.append(x)
            x = shrink(x)
        x = self.middle(x, e, places[-1])
        for stage, grow, where in zip(reversed(self.up), reversed(self.grow), places[-2::-1], strict=True):
            x = stage(skips.pop() + F.interpolate(grow(x), scale_factor=2), e, where)
        gates = F.interpolate(surround(self.gate(x)).float(), scale_factor=self.fold, mode="bilinear")
        inner = slice(self.fold, -self.fold)
        return F.pixel_shuffle(self.head(x), self.fold), gates[..., inner, inner]

    def _places(self, place: Tensor | None) -> list[Tensor | None]:
        """The features of ``place`` at every resolution, finest first."""
        if self.locate is None or place is None:
            return [None] * (len(self.down) + 1)
        sizes = [self.fold * 2**k for k in range(len(self.down) + 1)]
        return [self.locate(F.avg_pool2d(place, size)) for size in sizes]
