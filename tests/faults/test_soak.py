"""Days of the soak that `make soak` runs for months: the same faults, the same account."""

from pathlib import Path

import pytest

from tests.faults.soak import soak
from tests.faults.soak_faults import KINDS, schedule

SEED = 48


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_weeks_with_faults_are_accounted_for(
    tmp_path: Path, tiny_bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root / 'src'}:{root}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(root)
    report = soak(tmp_path, tiny_bundle_path, 14, SEED, quiet_days=4)
    assert report["problems"] == []
    assert report["faults"]["kill"] == 1
    assert len(report["processes"]) == 2
    assert report["delayed cycles"] >= 24


def test_list_of_faults_is_the_same_for_a_seed_and_has_every_kind_in_months() -> None:
    assert schedule(5, 400) == schedule(5, 400) != schedule(6, 400)
    assert {fault.kind for fault in schedule(0, 416)} == set(KINDS)
