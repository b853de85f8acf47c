"""The size of errors in places, degree by degree: found again where it is known."""

import pytest
import torch

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.local_error import node_weights
from dacycle.cycler.bundle import NODES
from dacycle.cycler.training.forecast_error import SHARE_BOUNDS, ForecastStatistics, bounded
from dacycle.cycler.training.local_spectra import ErrorSpectra, resized
from dacycle.emulators.grid import gaussian_grid

GRID = gaussian_grid(32, 64)
DEGREES, CHANNELS = 12, 2
DEGREE = torch.arange(DEGREES)


def make_prior() -> GaussianPrior:
    mixing = torch.tensor([[1.0, 0.0], [0.4, 0.9]])
    power = 30.0 * (1.0 + torch.arange(32)) ** -2.0
    return GaussianPrior(GRID, power[:, None, None] * (mixing @ mixing.T), torch.zeros(CHANNELS))


def patches(prior: GaussianPrior, generator: torch.Generator) -> torch.Tensor:
    """Weights of nodes, in patches that are small against the globe."""
    noise = prior.harmonics.smoothing(900.0).sqrt() * torch.randn(32**2, generator=generator)
    log = prior.harmonics.synthesise(noise)
    return node_weights(torch.exp(0.8 * log / log.std()), NODES)


def sizes() -> torch.Tensor:
    """s (nodes, degrees, channels): the best known places have a tenth of the variance, red or white."""
    of_nodes = torch.tensor([[0.1, 0.3], [0.3, 0.5], [0.7, 0.6], [1.0, 1.1]]).sqrt()
    red = torch.stack([(1.0 + DEGREE) ** -0.7, torch.ones(DEGREES)], -1)
    return of_nodes[:, None] * red


def test_sizes_are_found_again_whatever_was_thought() -> None:
    prior, generator = make_prior(), torch.Generator().manual_seed(3)
    s, seen = sizes(), ErrorSpectra.nothing(len(NODES), DEGREES, CHANNELS)
    degree = prior.harmonics.degree[: DEGREES**2]
    for _ in range(300):
        weights = patches(prior, generator)
        white = torch.randn(CHANNELS, DEGREES**2, generator=generator)
        of_nodes = torch.zeros(len(NODES), CHANNELS, 32**2)
        of_nodes[..., : DEGREES**2] = white * s.transpose(1, 2)[..., degree]
        error = (weights[:, None] * prior.synthesise(of_nodes)).sum(0)
        seen += ErrorSpectra.of(prior, DEGREES, error, weights)
    thought = torch.full_like(s, 0.5)
    found = seen.factors(thought, worth=0.0) * thought.sqrt()
    near = slice(2, 9)  # at the ends, a degree has no neighbour on one side
    torch.testing.assert_close(found[:, near], s[:, near], rtol=0.12, atol=0.0)
    # In places that are known well it is told apart from what their neighbours have, ten times the variance.
    assert (found[0, near] / s[0, near]).mean() == pytest.approx(1.0, abs=0.05)
    # Many pairs that say what was thought let nothing change; as many as were seen, half of it.
    torch.testing.assert_close(seen.factors(thought, worth=1e6), torch.ones_like(s), rtol=0.01, atol=0.0)
    halfway = seen.factors(thought, worth=300.0)[:, near] * thought[:, near].sqrt()
    differ = (found / thought.sqrt() - 1).abs()[:, near] > 0.2
    assert ((halfway > found[:, near]) == (halfway < thought[:, near].sqrt()))[differ].all()


def test_nothing_seen_changes_nothing() -> None:
    nothing = ErrorSpectra.nothing(len(NODES), DEGREES, CHANNELS)
    assert (nothing.factors(sizes().square(), worth=4.0) == 1).all()


def test_where_all_places_are_alike_spectra_are_what_they_are() -> None:
    """One node everywhere: no degree is mixed with another."""
    prior = make_prior()
    weights = node_weights(torch.full(GRID.shape, NODES[1]), NODES)
    a = torch.zeros(CHANNELS, 32**2)
    a[:, : DEGREES**2] = 1.0
    seen = ErrorSpectra.of(prior, DEGREES, prior.synthesise(a), weights)
    torch.testing.assert_close(seen.error[1], (2.0 * DEGREE + 1)[:, None].expand(-1, CHANNELS), rtol=1e-3, atol=1e-3)
    factors = seen.factors(torch.full((len(NODES), DEGREES, CHANNELS), 4.0), worth=0.0)
    torch.testing.assert_close(factors[1], torch.full((DEGREES, CHANNELS), 0.5), rtol=1e-3, atol=1e-3)


def test_statistics_keep_slopes_and_correlations() -> None:
    prior = make_prior()
    weights = node_weights(torch.full(GRID.shape, NODES[1]), NODES)
    a = torch.zeros(CHANNELS, 32**2)
    a[:, : DEGREES**2] = (
        prior.covariance[:DEGREES].diagonal(dim1=1, dim2=2).T.sqrt()[:, prior.harmonics.degree[: DEGREES**2]]
    )
    a[0] *= 0.5
    statistics = [
        ForecastStatistics(0.9 * torch.eye(CHANNELS).expand(DEGREES, -1, -1), 0.9 * prior.covariance[:DEGREES])
        for _ in NODES
    ]
    seen = ErrorSpectra.of(prior, DEGREES, prior.synthesise(0.5 * a), weights)
    found = resized(prior, statistics, seen, worth=0.0)[1]
    torch.testing.assert_close(found.slope, statistics[1].slope)
    variance = prior.covariance[:DEGREES].diagonal(dim1=1, dim2=2)
    shares = found.covariance.diagonal(dim1=1, dim2=2) / variance
    torch.testing.assert_close(shares[2:-2], torch.tensor([[0.0625, 0.25]]).expand(DEGREES - 4, -1), rtol=0.1, atol=0.0)
    correlation = found.covariance[:, 0, 1] / found.covariance.diagonal(dim1=1, dim2=2).prod(-1).sqrt()
    before = statistics[1].covariance
    expected = before[:, 0, 1] / before.diagonal(dim1=1, dim2=2).prod(-1).sqrt()
    torch.testing.assert_close(correlation, expected, rtol=1e-2, atol=0.0)


@pytest.mark.parametrize(("factor", "bound"), [(3.0, SHARE_BOUNDS[1]), (1e-4, SHARE_BOUNDS[0])])
def test_no_error_is_larger_than_the_climates_variance(factor: float, bound: float) -> None:
    climate = make_prior().covariance[:DEGREES]
    torch.testing.assert_close(bounded(make_prior(), factor * climate), bound * climate, rtol=1e-3, atol=1e-5)
