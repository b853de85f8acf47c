"""What members lack in spread, against worlds where it is known."""

from dataclasses import replace

import pytest
import torch

from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.training.spread import Case, lacking_spread
from dacycle.emulators.grid import gaussian_grid

GRID, DEGREES, CHANNELS = gaussian_grid(16, 32), 10, 3
PRIOR = GaussianPrior(GRID, torch.eye(CHANNELS).expand(DEGREES, -1, -1).clone(), torch.zeros(CHANNELS))


def case(number: int, kept: float, anticorrelation: float) -> Case:
    """Truth and members around one mean; the members have the share ``kept`` of the truth's variance."""
    generator = torch.Generator().manual_seed(number)

    def draw(n: int) -> torch.Tensor:
        return PRIOR.colour(torch.randn(n, CHANNELS, DEGREES**2, generator=generator))

    one, other = draw(3), draw(3)
    second = -anticorrelation * one + (1 - anticorrelation**2) ** 0.5 * other
    members = torch.stack([one, second], 1).flatten(0, 1) * kept**0.5
    mean = draw(1)
    return Case(PRIOR.synthesise(mean + members), PRIOR.synthesise(mean + draw(1))[0], draw(4))


@pytest.mark.parametrize("anticorrelation", [1.0, 0.5, 0.0])
@pytest.mark.parametrize(("kept", "before"), [(0.4, 0.0), (0.7, 0.2)])
def test_the_lack_is_what_was_left_out(anticorrelation: float, kept: float, before: float) -> None:
    cases = (case(number, kept, anticorrelation) for number in range(60))
    share = lacking_spread(PRIOR, cases, torch.full((6,), before))
    torch.testing.assert_close(share, torch.full((6,), before + 1 - kept), rtol=0, atol=0.1)


def test_members_with_too_much_spread_get_none_and_no_more_than_the_gaussian_has_is_added() -> None:
    wide = lacking_spread(PRIOR, (case(number, 2.0, 1.0) for number in range(20)), torch.zeros(6))
    torch.testing.assert_close(wide, torch.zeros(6))
    cases = [case(number, 0.1, 1.0) for number in range(20)]
    narrow = lacking_spread(PRIOR, [replace(c, deviations=0.5 * c.deviations) for c in cases], torch.zeros(6))
    torch.testing.assert_close(narrow, torch.ones(6))


def test_no_analysis_no_statement() -> None:
    with pytest.raises(ValueError, match="cannot be judged without an analysis"):
        lacking_spread(PRIOR, [], torch.zeros(6))
