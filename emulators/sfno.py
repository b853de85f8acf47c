"""The spherical Fourier neural operator of LUCIE (Guan et al., arXiv 2405.16297; Bonev et al., arXiv 2306.03838).

Numerically and by its state_dict this is the published network (linear ``dhconv`` filter, SiLU, instance norm, MLP,
big skip), where ``SfnoShape.slopes`` is zero; else every block also sees the slopes of some fields of its own making.
Internally fields are laid out (nlon, nlat, batch, channels): then pointwise layers, the Fourier transform in longitude
and the Legendre transform in latitude are all plain matrix products, without a copy between them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch_harmonics import InverseRealSHT, RealSHT

from dacycle.emulators.gradients import eastward, northward
from dacycle.emulators.grid import gaussian_grid

__all__ = ["Sfno", "SfnoShape"]

NORM_EPSILON = 1e-6
STEEPEST = 0.2
"""The least cosine of latitude that an eastward slope is divided by: rounding is not to be magnified at the poles."""


@dataclass(frozen=True)
class SfnoShape:
    """The sizes of the network; the defaults are those published, but for the grid."""

    nlat: int
    nlon: int
    inputs: int
    outputs: int
    embed: int = 72
    layers: int = 8
    mlp_ratio: float = 2.0
    kept_modes: float = 0.9
    slopes: int = 0
    """Fields per block whose slopes to the east and to the north are taken: the filter is isotropic and has none."""

    @property
    def degrees(self) -> int:
        """Number of degrees l kept by the filter; orders m < degrees follow from the triangle m <= l."""
        return min(int(self.nlat * self.kept_modes), int((self.nlon // 2 + 1) * self.kept_modes))


class Pointwise(nn.Module):
    """A 1x1 convolution with the parameters of ``Conv2d``, on fields (..., channels)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(outputs, inputs, 1, 1), std=0.1))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., inputs) -> (..., outputs)."""
        return functional.linear(x, self.weight[:, :, 0, 0], self.bias)


class InstanceNorm(nn.Module):
    """Mean 0 and variance 1 over the points of each field, then an affine map per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (nlon, nlat, batch, channels) -> the same shape.

        Points are the rows of a batch norm whose columns are (batch, channels): the fused kernel of that layout.
        """
        nlon, nlat, batch, channels = x.shape
        weight, bias = self.weight.repeat(batch), self.bias.repeat(batch)
        columns = x.reshape(nlon * nlat, batch * channels)
        return functional.batch_norm(columns, None, None, weight, bias, training=True, eps=NORM_EPSILON).view(x.shape)


class Transforms(nn.Module):
    """The real spherical harmonic transform of torch_harmonics as two matrices, and back.

    fourier (2 n, nlon), legendre (n, n, nlat) for the analysis, with the quadrature weights; ``_back`` the synthesis.
    n degrees and orders; rows of ``fourier`` run over (m, real or imaginary part).
    """

    def __init__(self, nlat: int, nlon: int, degrees: int) -> None:
        super().__init__()
        forward = RealSHT(nlat, nlon, lmax=degrees, mmax=degrees, grid="legendre-gauss")
        inverse = InverseRealSHT(nlat, nlon, lmax=degrees, mmax=degrees, grid="legendre-gauss")
        angle = torch.arange(degrees)[:, None] * torch.arange(nlon) * (2 * torch.pi / nlon)
        waves = torch.stack([angle.double().cos(), -angle.double().sin()], 1)
        twice = torch.full((degrees, 1, 1), 2.0)
        twice[0] = 1.0
        self.fourier: torch.Tensor
        self.fourier_back: torch.Tensor
        self.legendre: torch.Tensor
        self.legendre_back: torch.Tensor
        buffers = {
            "fourier": (waves * (2 * torch.pi / nlon)).flatten(0, 1),
            "fourier_back": (waves * twice).flatten(0, 1).T,
            "legendre": forward.weights.repeat_interleave(2, 0),
            "legendre_back": inverse.pct.transpose(1, 2).repeat_interleave(2, 0),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value.float().contiguous(), persistent=False)
        self.degrees = degrees

    def analyse(self, x: torch.Tensor) -> torch.Tensor:
        """x (nlon, nlat, batch, channels) -> coefficients (m, 2, l, batch, channels)."""
        nlon, nlat, batch, channels = x.shape
        zonal = self.fourier @ x.reshape(nlon, -1)
        modes = torch.bmm(self.legendre, zonal.view(-1, nlat, batch * channels))
        return modes.view(self.degrees, 2, self.degrees, batch, channels)

    def synthesise(self, modes: torch.Tensor) -> torch.Tensor:
        """Coefficients (m, 2, l, batch, channels) -> x (nlon, nlat, batch, channels)."""
        batch, channels = modes.shape[-2:]
        zonal = torch.bmm(self.legendre_back, modes.reshape(2 * self.degrees, self.degrees, batch * channels))
        x = self.fourier_back @ zonal.view(2 * self.degrees, -1)
        return x.view(x.shape[0], -1, batch, channels)


class DegreeFilter(nn.Module):
    """A convolution on the sphere: one complex channel matrix per degree l (Driscoll and Healy, 1994)."""

    def __init__(self, channels: int, degrees: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, degrees, 2) / channels**2)
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: torch.Tensor, transforms: Transforms) -> torch.Tensor:
        """x (nlon, nlat, batch, channels) -> the same shape; degrees beyond the kept ones are removed."""
        modes = transforms.analyse(x)
        m, _, degrees, batch, channels = modes.shape
        real, imaginary = self.weight.permute(3, 2, 0, 1)
        # A complex product as a real one, over the row (real parts, imaginary parts).
        matrix = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)
        rows = modes.permute(2, 0, 3, 1, 4).reshape(degrees, m * batch, 2 * channels)
        filtered = torch.bmm(rows, matrix).view(degrees, m, batch, 2, channels).permute(1, 3, 0, 2, 4)
        x = transforms.synthesise(filtered)
        return x + self.bias.flatten().to(x.dtype)  # without the cast, mixed precision ends here


class Slopes(nn.Module):
    """Slopes of ``fields`` mixtures of the channels, to the east and to the north, mixed back into the channels.

    ``back`` begins with zeros, so that a network without slopes is where training goes on from.
    """

    def __init__(self, channels: int, fields: int) -> None:
        super().__init__()
        self.mix = Pointwise(channels, fields, bias=False)
        self.back = Pointwise(2 * fields, channels, bias=False)
        nn.init.zeros_(self.back.weight)

    def forward(self, x: torch.Tensor, derivatives: "Derivatives") -> torch.Tensor:
        """x (nlon, nlat, batch, channels) -> the same shape."""
        return torch.as_tensor(self.back(derivatives(self.mix(x))))


class Derivatives(nn.Module):
    """Slopes of fields (nlon, nlat, batch, n), over a length of a grid interval or so, as matrix products."""

    def __init__(self, nlat: int, nlon: int) -> None:
        super().__init__()
        latitude = np.deg2rad(gaussian_grid(nlat, nlon).lat)
        here, across = (matrix / nlat for matrix in northward(latitude))
        self.east: torch.Tensor
        self.north: torch.Tensor
        self.cosine: torch.Tensor
        buffers = {
            "east": eastward(nlon) / nlat,
            "north": np.concatenate([here, across], 1),
            "cosine": np.maximum(np.cos(latitude), STEEPEST)[None, :, None],
        }
        for name, value in buffers.items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """To the east, then to the north: (nlon, nlat, batch, 2 n)."""
        nlon, nlat, batch, n = x.shape
        rows = x.reshape(nlon, nlat, batch * n)
        east = (self.east @ rows.flatten(1)).view(rows.shape) / self.cosine.to(rows.dtype)
        circle = torch.cat([rows, rows.roll(nlon // 2, 0)], 1)
        north = torch.matmul(self.north, circle)
        both = torch.stack([east, north], 2).view(nlon, nlat, 2, batch, n)
        return both.permute(0, 1, 3, 2, 4).reshape(nlon, nlat, batch, 2 * n)


class FilterLayer(nn.Module):
    """Holds the filter under the published name ``filter.filter``."""

    def __init__(self, channels: int, degrees: int) -> None:
        super().__init__()
        self.filter = DegreeFilter(channels, degrees)


class Mlp(nn.Module):
    """Two pointwise layers under the published names ``fwd.0`` and ``fwd.2``."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fwd = nn.Sequential(Pointwise(channels, hidden), nn.SiLU(), Pointwise(hidden, channels))


class Block(nn.Module):
    """Norm, spectral filter with a pointwise skip, SiLU, norm, MLP, and the normed input added back."""

    def __init__(self, shape: SfnoShape) -> None:
        super().__init__()
        self.norm0 = InstanceNorm(shape.embed)
        self.filter = FilterLayer(shape.embed, shape.degrees)
        self.inner_skip = Pointwise(shape.embed, shape.embed)
        self.norm1 = InstanceNorm(shape.embed)
        self.mlp = Mlp(shape.embed, int(shape.embed * shape.mlp_ratio))
        self.slopes = Slopes(shape.embed, shape.slopes) if shape.slopes else None

    def forward(self, x: torch.Tensor, transforms: Transforms, derivatives: Derivatives | None) -> torch.Tensor:
        """x (nlon, nlat, batch, channels) -> the same shape."""
        x = self.norm0(x)
        y = self.filter.filter(x, transforms) + self.inner_skip(x)
        if self.slopes is not None and derivatives is not None:
            y = y + self.slopes(x, derivatives)
        y = functional.silu(y)
        return x + torch.as_tensor(self.mlp.fwd(self.norm1(y)))


class Sfno(nn.Module):
    """Encoder, position embedding, blocks, and a decoder that sees the inputs again."""

    def __init__(self, shape: SfnoShape) -> None:
        super().__init__()
        self.shape = shape
        embed = shape.embed
        self.register_buffer("device_buffer", torch.empty(0))
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, embed, shape.nlat, shape.nlon), std=0.02))
        self.encoder = nn.Sequential(Pointwise(shape.inputs, embed), nn.SiLU(), Pointwise(embed, embed, bias=False))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.decoder = nn.Sequential(
            Pointwise(embed + shape.inputs, embed), nn.SiLU(), Pointwise(embed, shape.outputs, bias=False)
        )
        self.transforms = Transforms(shape.nlat, shape.nlon, shape.degrees)
        self.derivatives = Derivatives(shape.nlat, shape.nlon) if shape.slopes else None

    def forecast_persistence(self) -> None:
        """Make the output zero: a better start of training than a random one."""
        nn.init.zeros_(self.decoder.get_parameter("2.weight"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, inputs, nlat, nlon) -> (batch, outputs, nlat, nlon), all standardised."""
        x = x.permute(3, 2, 0, 1).contiguous()
        y = self.encoder(x)
        y = y + self.pos_embed.permute(3, 2, 0, 1).to(y.dtype)
        for block in self.blocks:
            y = block(y, self.transforms, self.derivatives)
        out: torch.Tensor = self.decoder(torch.cat([y, x], -1))
        return out.permute(2, 3, 1, 0).contiguous()
