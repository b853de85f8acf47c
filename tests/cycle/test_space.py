"""How full a disk is said to be."""

import subprocess
from pathlib import Path

import pytest

from dacycle.cycler.cycle.space import room


def test_it_is_as_full_as_df_says(tmp_path: Path) -> None:
    told = subprocess.run(
        ["df", "--block-size=1", "--output=used,avail", str(tmp_path)], check=True, capture_output=True, text=True
    )
    used, available = (int(word) for word in told.stdout.splitlines()[1].split())
    free, size = room(tmp_path)
    assert free == pytest.approx(available, abs=1e9)
    assert size == pytest.approx(used + available, abs=1e8)
