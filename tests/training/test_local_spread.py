"""What members lack in spread by channel and place, against a world where it is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.error_level import ErrorLevel
from dacycle.cycler.assimilation.inflation_factor import InflationFactor
from dacycle.cycler.assimilation.local_error import node_weights
from dacycle.cycler.bundle import NODES
from dacycle.cycler.experiments.osse_scores import ranked_places
from dacycle.cycler.products.arrays import write_arrays
from dacycle.cycler.training.error_tails import Sample
from dacycle.cycler.training.local_spread import Case, inflation
from dacycle.cycler.training.spread_command import Spread, judged
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import DacycleError

GRID, CHANNELS = gaussian_grid(32, 64), 2
SPREAD = np.exp(np.sin(np.deg2rad(GRID.lat))[:, None] * 1.5) * np.ones(GRID.shape)
WEIGHTS = node_weights(torch.as_tensor(SPREAD, dtype=torch.float32), NODES).numpy()
WANTED = np.array([[0.5, 1.0, 1.5, 2.0], [2.0, 1.0, 1.0, 0.25]]).T  # (nodes, channels)


def case(
    number: int,
    kept: float = 0.4,
    wanted: np.ndarray = WANTED,
    season: float = 1.0,
    size: float | None = None,
    level: float = 0.0,
) -> Case:
    """Truth of unit variance around the mean, in the year's mean, of ``size`` times that (unset: the season's), members
    of the share ``kept`` of the year's; the rest is added, for a factor whose square is ``wanted`` at the nodes."""
    rng = np.random.default_rng(number)

    def draw(n: int) -> np.ndarray:
        return rng.normal(size=(n, CHANNELS, *GRID.shape))

    def pairs(half: np.ndarray) -> np.ndarray:
        return np.stack([half, -half], 1).reshape(-1, *half.shape[1:])

    square = np.einsum("nc,nij->cij", wanted, WEIGHTS)
    members, added = pairs(np.sqrt(kept) * draw(4)), pairs(draw(4) * np.sqrt(abs(1 - kept) / square))
    mean = draw(1)
    truth, places = (mean + np.sqrt(size or season) * draw(1))[0], ranked_places(GRID)
    m, d, w, x = (f.reshape(*f.shape[:-2], -1)[..., places] for f in (mean + members, added, WEIGHTS, truth))
    sample = Sample(m, d, 0 * d, np.arange(CHANNELS), w, x, np.full(CHANNELS, season, np.float32), np.array(level))
    return Case.of(GRID, WEIGHTS, mean + members, added, truth, sample)


def test_the_factor_closes_the_gap_by_channel_and_node() -> None:
    found = inflation([case(number) for number in range(60)])
    np.testing.assert_allclose(found.square, WANTED, rtol=0.12)


def test_one_season_tells_what_the_year_asks_for_and_what_another_season_does() -> None:
    """Analyses of winter alone: errors of 1.3 times the year's variance, to which members contribute 0.4 as ever."""
    found = inflation([case(number, season=1.3) for number in range(60)])
    np.testing.assert_allclose(found.square, WANTED, rtol=0.15)
    np.testing.assert_allclose(found.response, 1 / 0.6, rtol=0.05)
    summer = np.full(CHANNELS, 0.8, np.float32)
    np.testing.assert_allclose(found.of_size(summer), WANTED * 0.4 / 0.6, rtol=0.2)
    np.testing.assert_array_equal(found.of_size(0 * summer), 0.0)


def test_how_errors_follow_the_level_of_forecasts_errors_is_found_beside_the_season() -> None:
    """Analyses' errors follow with the power 0.6; a winter, in which both have 1.3 times the year's variance."""
    departs, season = np.random.default_rng(0).normal(0, 0.3, 80), np.where(np.arange(80) < 40, 1.3, 1.0)
    sizes = season * np.exp(0.6 * departs)
    cases = [
        case(number, season=season[number], size=sizes[number], level=np.log(0.4 * season[number]) + departs[number])
        for number in range(80)
    ]
    found = inflation(cases)
    assert found.usual is not None
    assert found.usual.power == pytest.approx(0.6, abs=0.06)
    assert found.usual.log == pytest.approx(np.log(0.4) + departs.mean(), abs=0.01)
    np.testing.assert_allclose(found.square, WANTED, rtol=0.15)
    np.testing.assert_allclose(found.response, 1 / 0.6, rtol=0.05)
    summer, half = np.full(CHANNELS, 0.8, np.float32), ErrorLevel(found.usual.log + np.log(0.8 * 0.5))
    np.testing.assert_allclose(found.size(half, summer), 0.8 * 0.5**found.usual.power, rtol=1e-5)
    np.testing.assert_array_equal(found.size(None, summer), summer)


def test_a_power_that_is_known_is_not_found_again() -> None:
    """Errors that follow the level fully, and are said to follow its square root: the factor is the year's all the
    same, and so is the level."""
    departs = np.random.default_rng(0).normal(0, 0.3, 80)
    cases = [case(k, size=np.exp(d), level=np.log(0.4) + d) for k, d in enumerate(departs)]
    free, told = inflation(cases), inflation(cases, power=0.5)
    assert free.usual is not None
    assert told.usual == replace(free.usual, power=0.5)
    assert free.usual.power == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(told.square, free.square, rtol=0.15)


def test_members_with_too_much_spread_are_given_none() -> None:
    found = inflation([case(number, kept=2.0) for number in range(10)])
    np.testing.assert_array_equal(found.square, 0.0)


def test_every_world_is_judged_by_what_the_others_say() -> None:
    alike = {"a.nc": [case(1), case(2)], "b.nc": [case(3), case(4)]}
    told = list(judged({**alike, "c.nc": [case(5, kept=0.05, wanted=0.3 * WANTED)]}))
    assert [line.split(",")[0] for line in told] == ["a.nc", "b.nc", "c.nc"]
    bend = [float(line.split("bend by ")[1].split(" on")[0]) for line in told]
    # In the third, what is added has three times the variance for the same factor, as the others cannot know: a dome.
    assert bend[2] < min(bend[:2]) - 0.3
    assert list(judged({"a.nc": alike["a.nc"]})) == []


def test_what_was_known_before_counts_for_as_many_analyses_as_it_rests_on() -> None:
    cases = [case(number) for number in range(6)]
    never = np.zeros(CHANNELS, np.float32)
    wide = InflationFactor(3 * WANTED.astype(np.float32), never)
    new, known = Spread.of(cases), Spread(12, wide, np.array([0.5, 0.25], np.float32))
    both = new.beside(known)
    assert (new.analyses, both.analyses) == (6, 18)
    np.testing.assert_allclose(both.inflation.square, new.inflation.square / 3 + 2 * WANTED, rtol=1e-5)
    np.testing.assert_allclose(both.inflation.response, new.inflation.response / 3, rtol=1e-5)
    np.testing.assert_allclose(both.tails, new.tails / 3 + known.tails * 2 / 3, rtol=1e-5)
    assert new.beside(None) is new
    # One world alone is judged by what was known: too much spread, a dome.
    right = Spread(12, InflationFactor(WANTED.astype(np.float32), never), 0 * known.tails)
    (dome,), (flat,) = (judged({"a.nc": cases}, before) for before in (known, right))
    assert float(dome.split("bend by ")[1].split(" on")[0]) < -0.15
    assert abs(float(flat.split("bend by ")[1].split(" on")[0])) < 0.03


def test_a_case_comes_back_from_its_file(tmp_path: Path) -> None:
    before = case(1)
    before.save(tmp_path / "case.npz")
    after = Case.load(tmp_path / "case.npz")
    for name in ("lack", "added"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    for name, values in vars(before.sample).items():
        np.testing.assert_array_equal(getattr(after.sample, name), values)
    assert before.sample.members.shape == (8, CHANNELS, before.sample.truth.shape[1])


def test_a_case_of_an_earlier_version_is_told_in_one_line(tmp_path: Path) -> None:
    before = case(1)
    told = {name: values for name, values in vars(before.sample).items() if name != "season"}
    write_arrays(tmp_path / "case.npz", lack=before.lack, added=before.added, **told)
    with pytest.raises(DacycleError, match=r"case.npz: lacks season, as an earlier .*; remove .* and give"):
        Case.load(tmp_path / "case.npz")


def test_nothing_is_said_without_analyses_or_of_a_single_pair() -> None:
    with pytest.raises(ValueError, match="cannot be judged without an analysis"):
        inflation([])
    nothing = np.zeros((2, CHANNELS, *GRID.shape))
    with pytest.raises(ValueError, match="2 members cannot be judged; expected pairs"):
        Case.of(GRID, WEIGHTS, nothing, nothing, nothing[0], case(1).sample)
