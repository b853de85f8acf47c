"""Control variables: the map, its inverse and adjoint, and what soundings see through it, against dense algebra."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from dacycle.cycler.assimilation.balance import Balance, differences, differences_adjoint, neighbours
from dacycle.cycler.assimilation.between import Near
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.places import BalancedPlaces
from dacycle.cycler.assimilation.points import PointOperator
from dacycle.cycler.assimilation.smoothing import Smoothing
from dacycle.emulators.grid import bilinear, gaussian_grid

CHANNELS = ("2t", "u850", "v850", "z850", "u500", "z500")
GRID, DEGREES, N = gaussian_grid(16, 32), 9, len(CHANNELS)
POINTS = GRID.shape[0] * GRID.shape[1]
COUNT = N * DEGREES**2
KEPT: Tensor | None = None


SMOOTHED = {
    "heights as they are": None,
    "heights smoothed": torch.linspace(1.0, 0.2, 7).repeat(2, 1),
    "in the tropics more": torch.stack([torch.linspace(1.0, 0.3, 7), torch.linspace(1.0, 0.5, 7)]),
}


@pytest.fixture(params=list(SMOOTHED.values()), ids=list(SMOOTHED), autouse=True)
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tensor | None:
    """All of this holds with heights as they are and with heights smoothed."""
    monkeypatch.setitem(globals(), "KEPT", request.param)
    return request.param


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def balance(smooth_std: bool = False) -> Balance:
    return Balance(*_parts(smooth_std), None if KEPT is None else Smoothing(GRID, KEPT))


def _parts(smooth_std: bool = False) -> tuple[tuple[str, ...], npt.NDArray[np.float32], Tensor, Tensor]:
    """Channels, standard deviations, coefficients and spread."""
    rng = generator()
    lat = torch.as_tensor(np.deg2rad(GRID.lat), dtype=torch.float32)[:, None]
    east, north = torch.sin(lat), torch.cos(lat) - 0.5
    coefficients = torch.stack([east.expand(GRID.shape), north.expand(GRID.shape)]).repeat(3, 1, 1, 1)
    coefficients = coefficients * torch.rand(3, 1, 1, 1, generator=rng)
    std = 2.0 + (0.3 * torch.cos(2 * lat) if smooth_std else 0 * lat)
    spread = 0.5 + 0.2 * torch.cos(lat).expand(3, *GRID.shape)
    return CHANNELS, std.expand(N, *GRID.shape).numpy(), coefficients, spread


def prior() -> GaussianPrior:
    root = torch.randn(DEGREES, N, N, generator=generator()) / (1 + torch.arange(DEGREES))[:, None, None]
    return GaussianPrior(GRID, root @ root.transpose(-1, -2), torch.full((N,), 0.01))


def fields(count: int = 3) -> Tensor:
    return torch.randn(count, N, *GRID.shape, generator=generator())


def operator(known: GaussianPrior, on_grid: bool, smooth_std: bool = False) -> PointOperator:
    """Every channel at a few places, some near the poles and the edge of the map."""
    rng = np.random.default_rng(2)
    lat, lon = np.array([89.0, 40.0, 3.0, -33.0, -89.5]), np.array([10.0, 359.0, 100.0, 181.0, 77.0])
    if on_grid:
        lat, lon = GRID.lat[[0, 5, 8, 12, 15]], GRID.lon[[0, 31, 7, 16, 20]]
    channel = np.repeat(np.arange(N), len(lat))
    corners, weights = bilinear(GRID, np.tile(lat, N), np.tile(lon, N))
    scale = rng.uniform(1.0, 3.0, (len(channel), 1)) * np.ones((1, 4))
    told = [torch.as_tensor(weights, dtype=torch.float32), torch.as_tensor(scale, dtype=torch.float32)]
    return PointOperator(known, torch.as_tensor(channel), torch.as_tensor(corners), *told, balance(smooth_std))


def test_the_map_can_be_inverted_and_leaves_all_but_winds() -> None:
    known, x = balance(True), fields()
    y = known.control(x)
    torch.testing.assert_close(known.state(y), x, rtol=1e-5, atol=1e-5)
    plain = [k for k in range(N) if k not in known.winds]
    assert torch.equal(y[:, plain], x[:, plain])
    assert (y - x)[:, known.winds].abs().mean() > 0.3


def test_winds_follow_what_is_kept_of_each_degree() -> None:
    """Of a height of one degree, and of degrees beyond, nothing; where the same is kept everywhere."""
    known, of_heights, share = prior(), CHANNELS.index("z850"), torch.linspace(1.0, 0.2, 7)
    plain, smooth = Balance(*_parts()), Balance(*_parts(), Smoothing(GRID, share.repeat(2, 1)))
    for degree in (2, 5, 8):
        a = torch.zeros(1, N, DEGREES**2)
        a[0, of_heights, degree**2] = 100.0
        y = known.synthesise(a)
        winds = [each.state(y)[:, each.winds] for each in (smooth, plain)]
        expected = float(share[degree]) if degree < len(share) else 0.0
        torch.testing.assert_close(winds[0], expected * winds[1], rtol=1e-4, atol=1e-5)
        assert winds[1].abs().max() > 0.1


def test_balanced_winds_have_no_control_variable_of_their_own() -> None:
    known, y = balance(True), fields()
    y[:, known.winds] = 0.0
    x = known.state(y)
    assert x[:, known.winds].abs().max() > 0.1
    assert known.control(x)[:, known.winds].abs().max() < 1e-5


def test_adjoints() -> None:
    known, u, v = balance(True), fields(), fields().flip(0)
    torch.testing.assert_close((known.state(u) * v).sum(), (u * known.state_adjoint(v)).sum(), rtol=1e-4, atol=1e-2)
    east, north = differences(u)
    moved = (east * v).sum() + (north * v.flip(1)).sum()
    torch.testing.assert_close((u * differences_adjoint(v, v.flip(1))).sum(), moved, rtol=1e-4, atol=1e-2)


def test_differences_reach_across_the_edge_of_the_map_and_the_poles() -> None:
    z = fields(1)[0, 0]
    flat, corners = z.flatten(), torch.arange(POINTS)
    east, west, north, south = neighbours(corners, GRID.shape)
    told = differences(z)
    torch.testing.assert_close(told[0].flatten(), flat[east] - flat[west])
    torch.testing.assert_close(told[1].flatten(), flat[north] - flat[south])
    assert north[3].item() == 3 + GRID.shape[1] // 2
    assert east[GRID.shape[1] - 1].item() == 0


def test_soundings_see_states_through_the_map() -> None:
    known, seen = balance(), operator(prior(), on_grid=False)
    y, z = fields(), torch.randn(3, len(seen), generator=generator())
    torch.testing.assert_close(seen.apply(y), seen.of_anomalies(known.state(y)))
    torch.testing.assert_close((seen.apply(y) * z).sum(), (y * seen.adjoint(z)).sum(), rtol=1e-4, atol=1e-2)


def test_on_grid_points_coefficients_are_seen_as_fields_are(kept: Tensor | None) -> None:
    known = prior()
    a = torch.randn(2, N, DEGREES**2, generator=generator())
    exact = operator(known, on_grid=True)
    seen, told = exact.spectral_apply(a), exact.apply(known.synthesise(a))
    if kept is None or kept[0].equal(kept[1]):
        torch.testing.assert_close(seen, told, rtol=1e-4, atol=1e-4)
    else:  # what is kept is not the same in the row to the north
        assert (seen - told).square().mean() < 0.002 * told.square().mean()
    for smooth in (False, True):  # elsewhere factors are constant within a cell, nearly
        near = operator(known, on_grid=False, smooth_std=smooth)
        seen, told = near.spectral_apply(a), near.apply(known.synthesise(a))
        assert (seen - told).square().mean() < 0.02 * told.square().mean()


def test_the_adjoint_and_the_matrix_are_those_of_what_coefficients_are_seen_as() -> None:
    known = prior()
    seen = operator(known, on_grid=False)
    dense = seen.spectral_apply(torch.eye(COUNT).view(COUNT, N, -1)).T  # (n, COUNT)
    adjoint = seen.spectral_adjoint(torch.eye(len(seen)))
    torch.testing.assert_close(adjoint.flatten(1), dense, rtol=1e-4, atol=1e-5)
    few = seen.spectral_adjoint(torch.eye(len(seen)), 4)
    torch.testing.assert_close(few, adjoint[..., :16], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen.matrix(known.covariance), dense @ _whole(known) @ dense.T, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(seen.variance(known.covariance), seen.matrix(known.covariance).diagonal())


def test_the_matrix_of_what_differs_between_places() -> None:
    """Q Q' with Q = sum of u_k R_k, the weights those of the places."""
    known = prior()
    seen = operator(known, on_grid=False)
    roots = torch.randn(2, 5, N, N, generator=generator())
    roots = roots + roots.transpose(-1, -2)
    at_values = torch.rand(5, generator=generator()).repeat(N)
    weights = torch.stack([at_values, 1 - at_values])
    beyond = known.covariance.clone()
    beyond[:5] = 0
    dense = seen.spectral_apply(torch.eye(COUNT).view(COUNT, N, -1)).T
    degree = known.harmonics.degree[:25]
    q = sum(
        u[:, None]
        * (dense.view(-1, N, DEGREES**2)[..., :25].permute(0, 2, 1)[:, :, None] @ r[degree])[:, :, 0].flatten(1)
        for u, r in zip(weights, roots, strict=True)
    )
    expected = q @ q.T + dense @ _block(beyond, known) @ dense.T
    torch.testing.assert_close(seen.matrix(beyond, roots, weights), expected, rtol=1e-3, atol=1e-3)


def test_the_posterior_mean_is_that_of_dense_algebra() -> None:
    known = prior()
    seen = operator(known, on_grid=True)
    innovation = torch.randn(len(seen), generator=generator())
    system = Conditioner(known, known.covariance, torch.zeros(N), Observations(seen, innovation, None))
    found = known.synthesise(system.solve((innovation[None], None), tolerance=None).increment)
    basis = known.synthesise(torch.eye(COUNT).view(COUNT, N, -1)).flatten(1).double()  # of fields
    covariance = basis.T @ _whole(known).double() @ basis
    unit = torch.eye(N * POINTS).view(-1, N, *GRID.shape)
    h = torch.cat([seen.apply(part) for part in torch.split(unit, 512)]).T.double()
    gain = covariance @ h.T @ torch.linalg.inv(h @ covariance @ h.T + torch.eye(len(seen)).double())
    torch.testing.assert_close(found.flatten().double(), gain @ innovation.double(), rtol=1e-3, atol=1e-3)


def test_places_need_their_own_balance() -> None:
    with pytest.raises(ValueError, match="expected coefficients of 3 winds; got 2, 2"):
        Balance(CHANNELS, np.ones((N, *GRID.shape), np.float32), torch.ones(2, 2, 1, 1), torch.ones(2, 1, 1))


def test_the_variance_of_a_white_rest_is_close() -> None:
    seen, rest = operator(prior(), on_grid=True), torch.linspace(0.1, 0.2, N)
    white = torch.randn(4000, N, *GRID.shape, generator=generator()) * rest.sqrt()[:, None, None]
    torch.testing.assert_close(seen.rest(rest), seen.apply(white).var(0), rtol=0.12, atol=0.0)


def _whole(known: GaussianPrior) -> Tensor:
    return _block(known.covariance, known)


def _block(covariance: Tensor, known: GaussianPrior) -> Tensor:
    """Of all coefficients (channels * L*L, channels * L*L)."""
    degree = known.harmonics.degree
    whole = torch.zeros(N, len(degree), N, len(degree))
    index = torch.arange(len(degree))
    whole[:, index, :, index] = covariance[degree]
    return whole.reshape(COUNT, COUNT)


def test_near_needs_no_more_than_its_parts() -> None:
    known = prior()
    corners, weights = (
        torch.as_tensor(each[:2]) for each in bilinear(GRID, np.array([4.0, 50.0]), np.array([3.0, 9.0]))
    )
    places = BalancedPlaces(known, corners, weights.float(), balance())
    nothing = Near(torch.zeros(2, 3, N, N), torch.full((2, 2), 0.5))
    found = []
    for near in (nothing, None):
        parts = places.parts(known.covariance, near)
        (panel,) = parts.panels()
        found.append(places.block(parts, panel, panel))
    torch.testing.assert_close(*found)


def test_places_of_other_nodes_are_worked_on_apart() -> None:
    """Of three nodes every place has one or two; the matrix is that of all of them."""
    known, seen = prior(), operator(prior(), on_grid=False)
    roots = torch.randn(3, 5, N, N, generator=generator())
    roots = roots + roots.transpose(-1, -2)
    of_places = torch.tensor([[1.0, 0.3, 0.0, 0.0, 0.0], [0.0, 0.7, 0.4, 1.0, 0.2], [0.0, 0.0, 0.6, 0.0, 0.8]])
    weights = of_places.repeat(1, N)
    nothing = torch.zeros_like(known.covariance)
    unit = torch.eye(len(seen))
    white = sum(known.per_degree(r, seen.spectral_adjoint(w * unit, 5)) for r, w in zip(roots, weights, strict=True))
    told = sum(w * seen.spectral_apply(known.per_degree(r, white)) for r, w in zip(roots, weights, strict=True))
    torch.testing.assert_close(seen.matrix(nothing, roots, weights), told, rtol=1e-3, atol=1e-3)


def test_in_another_world_winds_follow_its_own_heights() -> None:
    """In units of other standard deviations, the same physical state has the same physical balance."""
    known, x = balance(True), fields()
    factor = torch.linspace(0.5, 2.0, N)[:, None, None]
    there = known.within((known._std * factor).numpy())
    y = there.control(x / factor)
    spread = factor[known.winds]
    torch.testing.assert_close(y[:, known.winds] * spread, known.control(x)[:, known.winds], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(there.state(y), x / factor, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(known.state(known.control(x)), x, rtol=1e-4, atol=1e-4)
