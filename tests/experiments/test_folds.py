"""Plain interpolation on the real soundings gives the known figures; folds run and go on."""

import json
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.ingest import gather
from dacycle.cycler.experiments.plain_oi import ERRORS, Values, interpolate, latitude_climatology, plausible
from dacycle.cycler.main import main
from dacycle.obs.source import open_source


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


def test_plain_interpolation_of_the_real_soundings_has_the_known_errors(
    real_data: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    source = open_source("igra", str(real_data / "igra-2005082600"), tmp_path)
    batch = gather(source, tiny_bundle, datetime(2005, 8, 26, tzinfo=UTC)).batch
    for name, expected in {"t500": 1.69, "z850": 21.21}.items():
        rows = np.flatnonzero(batch.channel == name)
        rows = rows[np.sort(np.unique(batch.station[rows], return_index=True)[1])]
        values = Values(batch.lat[rows], batch.lon[rows], batch.value[rows])
        good = plausible(values)
        values, stations = values.at(good), batch.station[rows][good].tolist()
        fold = np.array([zlib.crc32(station.encode()) % 10 for station in stations])
        error = [
            interpolate(values.at(fold != k), values.at(fold == k), ERRORS[name[0]]) - values.value[fold == k]
            for k in range(10)
        ]
        assert np.sqrt(np.mean(np.concatenate(error) ** 2)) == pytest.approx(expected, abs=0.006)


def test_folds_are_scored_and_go_on(
    real_data: Path, tiny_bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--archive", str(real_data / "igra-2005082600"), "--bundle", str(tiny_bundle_path)]
    few = ["--method", "oi", "--members", "2", "--folds", "2", "--fixed"]
    command = ["folds", "2005-08-26T00", *where, "--out", str(tmp_path), *few]
    assert main(command) == 0
    told = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert told["z850"]["n"] == 485
    assert told["z500"]["analysis"] < told["z500"]["bundle"]
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("fold-*.json")}
    assert len(made) == 2
    assert main(command) == 0
    assert all(path.stat().st_mtime_ns == then for path, then in made.items())
    assert "at most plain interpolation in" in capsys.readouterr().out
