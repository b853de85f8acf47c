"""What is published has the errors' tails; what goes on to the next forecast is as it was drawn."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from dacycle.cycler.bundle import open_bundle
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.task import ANALYSIS_EQUIVALENTS, INITIAL
from dacycle.cycler.training.bundle import write_measured
from tests.cycle.small_world import config, hours, soundings

NOW = datetime(2026, 11, 20, tzinfo=UTC)
TIMES = [hours(0), hours(12)]


@dataclass(frozen=True)
class Cycles:
    """Of two cycles: published temperatures (times, members, ...), what goes on, and the second's equivalents."""

    published: np.ndarray
    goes_on: list[np.ndarray]
    equivalents: np.ndarray


def cycled(root: Path, bundle_path: Path, **changes: dict[str, Any]) -> Cycles:
    chosen = config(root, soundings(root / "archive", TIMES), bundle_path, **changes)
    with open_engine(chosen, NOW) as engine:
        works = [engine.workspace(engine.run(time, NOW)) for time in TIMES]
        goes_on = [work.array(INITIAL) for work in works]
        equivalents = works[1].arrays(ANALYSIS_EQUIVALENTS)["analysis"]
    published = []
    for time in TIMES:
        with netCDF4.Dataset(chosen.paths.state / f"products/{time:%Y/%m/%d/%H}/analysis.nc") as file:
            published.append(np.ma.filled(file["t500"][:], np.nan))
    return Cycles(np.stack(published), goes_on, equivalents)


@pytest.fixture(scope="module")
def long_tailed(tmp_path_factory: pytest.TempPathFactory, tiny_bundle_path: Path) -> Path:
    """The tiny bundle with tails."""
    path = tmp_path_factory.mktemp("bundle") / "long"
    shutil.copytree(tiny_bundle_path, path)
    tails = np.full(len(open_bundle(str(path)).channels), 0.4, np.float32)
    write_measured(path / "statics.nc", error_tails=tails)
    return path


def test_published_members_have_tails_and_the_next_forecast_starts_from_those_drawn(
    tmp_path: Path, long_tailed: Path, tiny_bundle_path: Path
) -> None:
    long, plain = cycled(tmp_path / "long", long_tailed), cycled(tmp_path / "plain", tiny_bundle_path)
    for ours, theirs in zip(long.goes_on, plain.goes_on, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # The first analysis had no forecast: nobody has measured the tails of such a one.
    np.testing.assert_array_equal(long.published[0], plain.published[0])
    assert np.abs(long.published[1] - plain.published[1]).max() > 0.3  # K
    np.testing.assert_allclose(long.published[1].mean(0), plain.published[1].mean(0), atol=0.02)
    assert np.abs(long.equivalents - plain.equivalents).max() > 0.1


def test_methods_whose_tails_are_not_known_publish_what_they_draw(
    tmp_path: Path, long_tailed: Path, tiny_bundle_path: Path
) -> None:
    oi = {"assimilation": {"method": "oi"}}
    long = cycled(tmp_path / "long", long_tailed, **oi)
    np.testing.assert_array_equal(long.published, cycled(tmp_path / "plain", tiny_bundle_path, **oi).published)
