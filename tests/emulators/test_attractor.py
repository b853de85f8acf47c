"""Bounds on the variance per degree: real states pass, what grows is held, a forecast stays continuous."""

from datetime import UTC, datetime, timedelta

import torch

from dacycle.emulators.attractor import RETURN, WIDTH, Attractor, AttractorStatistics, cells
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.season import season_basis

GRID = gaussian_grid(8, 16)
NOW = datetime(2001, 5, 6, tzinfo=UTC)
LATER = NOW + timedelta(hours=6)


def attractor() -> Attractor:
    """Two channels; the annual cycle of the first is a uniform 3 cos; correlated anomalies."""
    blank = AttractorStatistics.blank(2, *GRID.shape)
    blank.climate[1, 0] = 3.0
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).repeat(8, 1, 1) / (1 + torch.arange(8.0))[:, None, None]
    variances, vectors = torch.linalg.eigh(covariance)
    degree = torch.repeat_interleave(torch.arange(8), 2 * torch.arange(8) + 1)
    return Attractor(GRID, AttractorStatistics(blank.climate, vectors, variances.T[:, degree]))


def draws(model: Attractor, count: int, scale: float, time: datetime) -> torch.Tensor:
    """States of the climate at a time, their anomalies multiplied by ``scale``."""
    generator = torch.Generator().manual_seed(1)
    degree = model.harmonics.degree
    b = torch.randn(count, 2, 64, generator=generator) * model.variances.sqrt()
    a = torch.einsum("kcd,ndk->nck", model.vectors[degree], b)
    return scale * model.harmonics.synthesise(a) + torch.einsum(
        "b,bcij->cij", torch.from_numpy(season_basis(time)), model.climate
    )


def test_variances_of_the_climate_are_one() -> None:
    model = attractor()
    _, power = model.power(draws(model, 400, 1.0, NOW), [NOW])
    assert (power.mean(0) - 1).abs().max() < 0.25


def test_states_of_the_climate_hardly_change() -> None:
    model = attractor()
    before, z = draws(model, 50, 0.9, NOW), draws(model, 50, 1.0, LATER)
    moved = (model(z, [LATER], before, [NOW]) - z).square().mean() / z.square().mean()
    assert moved < 2e-3


def test_growth_is_held_at_the_bound() -> None:
    model = attractor()
    z = draws(model, 5, 10.0, LATER)
    held = model(z, [LATER], draws(model, 5, 0.5, NOW), [NOW])
    bound = 1 + WIDTH * (2 / model.count).sqrt()
    assert (model.power(held, [LATER])[1] <= bound * 1.001).all()
    assert (model.power(held, [LATER])[1].mean(0) > 0.5 * bound).float().mean() > 0.9


def test_what_was_beyond_the_bound_returns_slowly() -> None:
    model = attractor()
    before, z = draws(model, 5, 10.0, NOW), draws(model, 5, 10.0, LATER)
    after = model(z, [LATER], before, [NOW])
    ratio = model.power(after, [LATER])[1] / model.power(before, [NOW])[1]
    assert (ratio - RETURN).abs().median() < 1e-3


def test_truncation_keeps_what_the_triangle_holds() -> None:
    model = attractor()
    z = draws(model, 2, 1.0, NOW)
    assert torch.allclose(model.truncate(z), z, atol=1e-5)
    noise = torch.randn(1, 2, 8, 16, generator=torch.Generator().manual_seed(2))
    assert model.truncate(noise).square().mean() < 0.8 * noise.square().mean()


def test_an_excess_of_zonal_bands_leaves_the_waves_alone() -> None:
    model = attractor()
    waves = draws(model, 5, 0.5, NOW)
    zonal = torch.zeros(5, 2, 64)
    zonal[:, :, 49] = 30.0  # degree 7, order 0
    loud = waves + model.harmonics.synthesise(zonal)
    held = model(loud, [NOW], waves, [NOW])
    difference = model.harmonics.analyse(held - waves)[..., model.cell != model.cell[49]]
    assert difference.abs().max() < 1e-3


def test_cells_join_neighbours_and_cover_all() -> None:
    cell = cells(16)
    assert len(cell) == 256
    assert cell[0] != cell[1]
    assert cell[4] == cell[5] == cell[6]  # degree 2: order 0, then cosine and sine of order 1
    assert torch.bincount(cell).min() >= 1
    assert cell[15 * 15] == cell[12 * 12]
    assert cell[15 * 15] != cell[-1]
