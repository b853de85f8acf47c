"""Gradients against closed forms on the sphere, over the poles too."""

import numpy as np
import torch

from dacycle.channels import DEFAULT_CHANNELS, channel
from dacycle.emulators.gradients import EARTH_RADIUS, GRAVITY, LENGTH, ROTATION, Gradients
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.spectral import Harmonics

GRID = gaussian_grid(32, 64)
LATITUDE = torch.from_numpy(np.deg2rad(GRID.lat))[:, None]
LONGITUDE = torch.from_numpy(np.deg2rad(GRID.lon))[None]
X, Y = LATITUDE.cos() * LONGITUDE.cos(), LATITUDE.cos() * LONGITUDE.sin()
Z = LATITUDE.sin().expand(32, 64)
CHANNELS = tuple(channel(name) for name in ("z500", "u500", "v500"))
SECONDS = 21600.0


def test_gradient_of_a_scalar_is_exact_up_to_the_poles() -> None:
    """Of s = x^2 y + z (a polynomial of degree three): the tangential part of (2xy, x^2, 1)."""
    gradients = Gradients(CHANNELS, GRID, SECONDS)
    scalar = (X**2 * Y + Z).float()
    east, north = gradients.derivatives(torch.stack([scalar, scalar * 0, scalar * 0])[None])
    full = (2 * X * Y, X**2, torch.ones_like(X))
    eastward = -LONGITUDE.sin() * full[0] + LONGITUDE.cos() * full[1]
    along = (-LATITUDE.sin() * LONGITUDE.cos(), -LATITUDE.sin() * LONGITUDE.sin(), LATITUDE.cos())
    northward = sum(a * f for a, f in zip(along, full, strict=True))
    torch.testing.assert_close(east[0, 0].double() * EARTH_RADIUS, eastward, rtol=0, atol=1e-4)
    torch.testing.assert_close(north[0, 0].double() * EARTH_RADIUS, northward, rtol=0, atol=1e-4)


def test_divergence_and_vorticity_of_known_flows() -> None:
    """Of V = grad s and of V = k x grad s the divergence and the vorticity is the Laplacian, -l (l + 1) / a^2 s of a
    harmonic s of degree l; the other one is nothing."""
    s = (X * Y * Z).float()  # of degree three
    gradients = Gradients(CHANNELS, GRID, SECONDS)
    east, north = (d[:, 0] for d in gradients.derivatives(torch.stack([s, 0 * s, 0 * s])[None]))
    laplacian = -12 / EARTH_RADIUS**2 * s * SECONDS
    for u, v, which in ((east, north, 0), (-north, east, 1)):
        fields = gradients(torch.stack([0 * s, u[0], v[0]])[None])[0]
        found = fields[6:8]
        scale = laplacian.abs().max()
        torch.testing.assert_close(found[which] / scale, laplacian / scale, rtol=0, atol=2e-4)
        assert found[1 - which].abs().max() < 2e-4 * scale


def test_geostrophic_wind_is_not_accelerated() -> None:
    f = 2 * ROTATION * Z
    height = (200 * Z**3).float()  # low at the southern pole: dz/dy = 600 sin^2 cos / a
    wind = (-GRAVITY / f * 600 * Z**2 * LATITUDE.cos() / EARTH_RADIUS).float()
    gradients = Gradients(CHANNELS, GRID, SECONDS)
    balanced = gradients(torch.stack([height, wind, 0 * wind])[None])[0, -2:]
    calm = gradients(torch.stack([height, 0 * wind, 0 * wind])[None])[0, -2:]
    assert balanced.abs().max() < 1e-3 * calm.abs().max()


def test_short_waves_are_seen_in_both_directions() -> None:
    """Random fields of all degrees that the grid resolves to a half: against the gradient's norm, which is known."""
    harmonics = Harmonics(GRID, 17)
    a = torch.randn(200, 17 * 17, generator=torch.Generator().manual_seed(1))
    fields = torch.stack([harmonics.synthesise(a)] + 2 * [torch.zeros(200, 32, 64)], 1)
    east, north = Gradients(CHANNELS, GRID, SECONDS).derivatives(fields)
    area = torch.as_tensor(GRID.weights, dtype=torch.float32)[:, None]
    square = ((east[:, 0] ** 2 + north[:, 0] ** 2) * area).mean((1, 2)) * EARTH_RADIUS**2 * 4 * torch.pi
    degree = harmonics.degree
    torch.testing.assert_close(square, (degree * (degree + 1) * a**2).sum(1), rtol=0.02, atol=0)


def test_shapes_and_scales_of_the_default_channels() -> None:
    gradients = Gradients(DEFAULT_CHANNELS, GRID, SECONDS)
    state = torch.randn(2, 17, 32, 64)
    std = torch.arange(1.0, 18.0)[:, None, None]
    fields = gradients(state)
    assert fields.shape == (2, gradients.outputs, 32, 64) == (2, 48, 32, 64)
    scales = gradients.scales(std, 100 * std)
    assert scales.shape == (48, 1, 1)
    assert scales[[0, 17, 33, 34, 41]].flatten().tolist() == [1.0, 1.0, 17.0, 1.0, 1.0]
    names = [c.name for c in DEFAULT_CHANNELS]
    assert scales[42:44].flatten().tolist() == [100.0 * (1 + names.index(n)) for n in ("u850", "v850")]
    assert LENGTH > 0
