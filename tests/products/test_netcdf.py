"""netCDF: metadata, precision, and the same bytes for the same states."""

import subprocess
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from dacycle.cycler.products.netcdf import STEPS, write_netcdf
from dacycle.errors import ProductError
from tests.products.samples import PROVENANCE, ensemble
from tests.tools import require_tool

KINDS = ("members", "mean", "spread")


def test_values_are_within_half_a_step(tmp_path: Path) -> None:
    sample = ensemble()
    write_netcdf(tmp_path / "a.nc", [sample], KINDS, PROVENANCE)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        for k, c in enumerate(sample.channels):
            half = STEPS[c.variable] / 2 * 1.001 + np.spacing(np.abs(sample.states[:, k]).max())
            assert np.abs(file[c.netcdf_name][:, 0] - sample.states[:, k]).max() <= half
            for kind in ("mean", "spread"):
                assert np.abs(file[f"{c.netcdf_name}_{kind}"][0] - sample.fields(kind)[0, k]).max() <= half
            assert file[c.netcdf_name].dimensions == ("realization", "time", "lat", "lon")
            assert file[c.netcdf_name].units == c.units


def test_metadata(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "a.nc", [ensemble()], KINDS, PROVENANCE)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file.Conventions == "CF-1.11, ACDD-1.3"
        assert file["t2m"].coordinates == "height_2m"
        assert file["t850_mean"].cell_methods == "time: point realization: mean"
        assert file["t850_spread"].cell_methods == "time: point realization: standard_deviation"
        assert file["t850_spread"].units_metadata == "temperature: difference"
        assert file["z500"].standard_name == "geopotential_height"
        assert file["pressure_500"][...] == 500
        assert netCDF4.num2date(file["time"][0], file["time"].units).isoformat() == "2005-08-26T00:00:00"
        assert "forecast_period" not in file.variables
        assert file.dacycle_seed == "7"
        assert file.dacycle_bundle_sha256 == "ab" * 32
        assert "ef" * 32 + "  XXM00000001-data.txt" in file.dacycle_inputs
        assert file.date_created == "2005-08-26T00:00:00Z"


def test_forecasts_have_reference_time_and_period(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "f.nc", [ensemble(hours=6), ensemble(hours=12, seed=1)], KINDS, PROVENANCE)
    with netCDF4.Dataset(tmp_path / "f.nc") as file:
        assert file["forecast_period"][:].tolist() == [6.0, 12.0]
        assert (file["time"][:] - file["forecast_reference_time"][...]).tolist() == [6.0, 12.0]
        assert file["u250"].shape == (3, 2, 16, 32)
        assert file.time_coverage_start == "2005-08-26T06:00:00Z"
        assert file.time_coverage_end == "2005-08-26T12:00:00Z"
        assert np.abs(file["u250"][2, 1] - ensemble(hours=12, seed=1).states[2, 14]).max() < 0.005


def test_the_same_states_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_netcdf(tmp_path / name, [ensemble()], KINDS, PROVENANCE) for name in ("a.nc", "b.nc"))
    assert first.sha256 == second.sha256


def test_mixed_forecasts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="has other channels, members or reference than forecast \\+6 h"):
        write_netcdf(tmp_path / "f.nc", [ensemble(hours=6), ensemble(members=2, hours=12)], KINDS, PROVENANCE)
    with pytest.raises(ProductError, match="not ascending"):
        write_netcdf(tmp_path / "f.nc", [ensemble(hours=12), ensemble(hours=6)], KINDS, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


def test_without_members_there_is_no_realization(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "a.nc", [ensemble()], ("mean", "spread"), PROVENANCE)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert "realization" not in file.dimensions
        assert "t850" not in file.variables
        assert file["number_of_realizations"][...] == 3


def test_ncdump_reads_the_header(tmp_path: Path) -> None:
    tool = require_tool("ncdump")
    write_netcdf(tmp_path / "a.nc", [ensemble()], KINDS, PROVENANCE)
    shown = subprocess.run([tool, "-h", tmp_path / "a.nc"], capture_output=True, text=True, check=True).stdout
    assert "float t850(realization, time, lat, lon) ;" in shown
