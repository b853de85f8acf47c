"""Plain interpolation on the real soundings gives the known figures; the ten folds run and go on."""

import json
from pathlib import Path

import numpy as np
import pytest

from dacycle.cycler.experiments.plain_oi import Values, interpolate, latitude_climatology, plausible
from dacycle.cycler.main import main


def test_plain_interpolation_of_one_distant_value_is_the_closed_form() -> None:
    """A dense network of a smooth field is followed; far from any station the fit is all there is."""
    rng = np.random.default_rng(0)
    lat, lon = np.rad2deg(np.arcsin(rng.uniform(-1, 0.3, 300))), rng.uniform(0, 360, 300)
    bump = 8 * np.exp(-((lat + 20) ** 2 + (lon - 100) ** 2) / 400)
    known = Values(lat, lon, 250 + 10 * np.sin(np.deg2rad(lat)) + bump)
    asked = Values(np.array([-20.0, 80.0]), np.array([100.0, 0.0]), np.zeros(2))
    found, fit = interpolate(known, asked, 0.5), latitude_climatology(known, asked)
    assert found[0] - fit[0] > 4.0
    assert found[1] == pytest.approx(fit[1], abs=1e-6)


def test_one_absurd_value_is_not_plausible() -> None:
    lat = np.linspace(-80, 80, 50)
    value = np.sin(np.deg2rad(lat)) + np.tile([0.1, -0.1], 25)
    value[7] += 20.0
    assert np.flatnonzero(~plausible(Values(lat, lat, value))).tolist() == [7]


def test_the_folds_of_the_real_soundings(
    real_data: Path, tiny_bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plain interpolation's pooled errors are those known for these soundings; the tiny bundle only has to run."""
    where = ["--archive", str(real_data / "igra-2005082600"), "--bundle", str(tiny_bundle_path)]
    command = ["folds", "2005-08-26T00", *where, "--out", str(tmp_path), "--method", "oi", "--members", "2"]
    assert main(command) == 0
    told = json.loads((tmp_path / "scores.json").read_text())["scores"]
    known = {"t850": 2.65, "t500": 1.69, "t250": 2.42, "u850": 5.30, "u500": 5.71, "u250": 10.16}
    known |= {"v850": 4.33, "v500": 5.64, "v250": 8.55, "z850": 21.21, "z500": 35.69, "z250": 47.41}
    for name, expected in known.items():
        assert told[name]["plain"] == pytest.approx(expected, abs=0.006), name
    assert told["z850"]["n"] == 485
    assert told["z500"]["analysis"] < told["z500"]["bundle"]
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("fold-*.json")}
    assert len(made) == 10
    assert main(command) == 0
    assert all(path.stat().st_mtime_ns == then for path, then in made.items())
    assert "at most plain interpolation in" in capsys.readouterr().out
