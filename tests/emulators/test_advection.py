"""Transport along the wind against solid-body rotation."""

import numpy as np
import torch

from dacycle.channels import DEFAULT_CHANNELS, channel
from dacycle.emulators.advection import EARTH_RADIUS, Advection
from dacycle.emulators.grid import gaussian_grid

GRID = gaussian_grid(32, 64)
LATITUDE = torch.from_numpy(np.deg2rad(GRID.lat)).float()[:, None]
LONGITUDE = torch.from_numpy(np.deg2rad(GRID.lon)).float()[None]
CHANNELS = tuple(channel(name) for name in ("t850", "u850", "v850"))
SPEED, SECONDS = 30.0, 21600.0


def _state(tracer: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.stack([f.expand(32, 64) for f in (tracer, u, v)])[None]


def test_zonal_rotation_shifts_the_longitude() -> None:
    def tracer(longitude: torch.Tensor) -> torch.Tensor:
        return LATITUDE.cos() ** 2 * torch.sin(2 * longitude)

    state = _state(tracer(LONGITUDE), SPEED * LATITUDE.cos(), torch.zeros(1, 1))
    moved = Advection(CHANNELS, GRID, SECONDS)(state)[0, 0]
    # The wind blows along great circles, not along parallels: the difference is of second order near the poles.
    inside = np.abs(GRID.lat) < 60
    expected = tracer(LONGITUDE - SPEED * SECONDS / EARTH_RADIUS)
    assert (moved - expected)[inside].abs().max() < 0.01
    assert (state[0, 0] - expected).abs().max() > 0.15


def test_flow_over_the_pole_has_no_seam() -> None:
    """Rotation about the axis through (0 N, 0 E): the field z = sin(lat) turns towards y."""
    y, z = LATITUDE.cos() * LONGITUDE.sin(), LATITUDE.sin().expand(32, 64)
    # velocity = SPEED * x_axis x position, in east and north
    u, v = -SPEED * LATITUDE.sin() * LONGITUDE.cos(), SPEED * LONGITUDE.sin().expand(32, 64)
    moved = Advection(CHANNELS, GRID, SECONDS)(_state(z, u, v))[0, 0]
    angle = SPEED * SECONDS / EARTH_RADIUS
    expected = z * np.cos(angle) - y * np.sin(angle)
    assert (moved - expected).abs().max() < 0.01


def test_calm_air_stays_and_channels_without_wind_are_left_out() -> None:
    channels = (channel("z700"), *DEFAULT_CHANNELS)
    transport = Advection(channels, GRID, SECONDS)
    assert 0 not in transport.carried
    state = torch.randn(1, len(channels), 32, 64)
    wind = [i for i, c in enumerate(channels) if c.variable in "uv"]
    state[:, wind] = 0.0
    assert torch.allclose(transport(state), state[:, transport.carried], atol=2e-2)


def test_gradient_reaches_the_wind() -> None:
    state = _state(torch.sin(2 * LONGITUDE), SPEED * LATITUDE.cos(), torch.zeros(1, 1)).requires_grad_()
    Advection(CHANNELS, GRID, SECONDS)(state)[0, 0].sum().backward()  # type: ignore[no-untyped-call]
    assert state.grad is not None
    assert torch.isfinite(state.grad).all()
    assert state.grad[0, 1].abs().max() > 0
