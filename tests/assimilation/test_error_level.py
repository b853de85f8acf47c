"""The level of forecasts' errors, against innovations whose covariance is known."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from dacycle.cycler.assimilation.adaptation import Adaptation
from dacycle.cycler.assimilation.error_level import DOUBT, ErrorLevel
from dacycle.cycler.assimilation.variance_components import score

PLACE = torch.arange(120.0, dtype=torch.float64)
NEAR = (PLACE[:, None] - PLACE[None]).abs()


@dataclass(frozen=True)
class Innovation:
    """Of one channel: what departs, and the parts of its covariance."""

    departure: torch.Tensor
    error: torch.Tensor
    rest: torch.Tensor

    def score(self, log: float) -> tuple[float, float]:
        return score(self.departure, self.error, self.rest, log)


def channels(level: float, count: int, seed: int) -> list[Innovation]:
    """Smooth forecast errors of various lengths and sizes, white errors of observation."""
    generator, told = torch.Generator().manual_seed(seed), []
    for c in range(count):
        error, rest = (0.5 + c) * torch.exp(-NEAR / (2 + 2 * c)), torch.eye(len(PLACE), dtype=torch.float64)
        root = torch.linalg.cholesky(level * error + rest)
        departure = root @ torch.randn(len(PLACE), generator=generator, dtype=torch.float64)
        told.append(Innovation(departure, error, rest))
    return told


def heard(known: ErrorLevel, innovations: list[Innovation]) -> ErrorLevel:
    return known.after([innovation.score(known.log) for innovation in innovations])


def test_the_level_is_found_within_a_few_times() -> None:
    for true in (0.3, 1.0, 2.0):
        known = ErrorLevel()
        for time in range(12):
            known = heard(known.later(12), channels(true, 4, time))
        assert abs(known.log - np.log(true)) < 3 * known.information**-0.5
        assert known.information**-0.5 < 0.1


def test_it_follows_a_change_and_forgets_what_was_before() -> None:
    known = ErrorLevel()
    for time in range(20):
        known = heard(known.later(12), channels(0.4, 4, time))
    before = known.log
    for time in range(20, 50):
        known = heard(known.later(12), channels(0.8, 4, time))
    assert abs(before - np.log(0.4)) < 0.15
    assert abs(known.log - np.log(0.8)) < 0.15
    long_ago = known.later(24 * 365)
    np.testing.assert_allclose(long_ago.information, DOUBT**-2)
    assert long_ago.log == known.log


def test_the_score_is_the_slope_of_the_likelihood_and_its_expected_curvature() -> None:
    (one,) = channels(0.7, 1, 3)

    def likelihood(log: float) -> float:
        total = np.exp(log) * one.error + one.rest
        return float(-torch.logdet(total) - one.departure @ torch.linalg.solve(total, one.departure)) / 2

    gradient, _ = one.score(-0.2)
    np.testing.assert_allclose(gradient, (likelihood(-0.19999) - likelihood(-0.20001)) / 2e-5, rtol=1e-5)
    many = [channels(np.exp(-0.2), 1, seed)[0].score(-0.2) for seed in range(400)]
    gradients, information = np.array(many).T
    np.testing.assert_allclose(gradients.var(), information.mean(), rtol=0.2)


def test_nothing_heard_changes_nothing_and_it_survives_as_text() -> None:
    known = ErrorLevel(-0.7, 40.0)
    assert known.after([]) == known
    learnt = replace(Adaptation.ignorant(("t850", "z500")), level=known)
    assert Adaptation.from_json(learnt.to_json()).level == known
    assert Adaptation.from_json(replace(learnt, level=None).to_json()).level is None
    level = learnt.later(24).level
    assert level is not None
    assert level.information < known.information
