"""GRIB2: keys, packing, limits of the format, and the check after writing."""

import subprocess
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pytest

from dacycle.channels import channel
from dacycle.cycler.products import grib
from dacycle.cycler.products.ensemble import Ensemble, Kind
from dacycle.cycler.products.grib import write_grib
from dacycle.cycler.products.issuer import Issuer
from dacycle.emulators.grid import Grid
from dacycle.errors import ProductError
from tests.products.samples import TIME, ensemble
from tests.tools import require_tool


def messages(path: Path, *keys: str) -> list[dict[str, Any]]:
    found = []
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            found.append({key: eccodes.codes_get(handle, key) for key in keys})
            found[-1]["values"] = eccodes.codes_get_values(handle)
            eccodes.codes_release(handle)
    return found


@pytest.mark.parametrize(
    ("centre", "subcentre", "name"), [(98, 0, "ecmf"), (78, 255, "edzw"), (80, 0, "cnmc"), (7, 3, "kwbc")]
)
def test_the_centre_is_whoever_issues_it(tmp_path: Path, centre: int, subcentre: int, name: str) -> None:
    for kind in ("members", "mean", "spread"):
        write_grib(tmp_path / "a.grib2", [ensemble()], kind, issuer=Issuer(centre=centre, subcentre=subcentre))
        for found in messages(tmp_path / "a.grib2", "centre", "subCentre", "paramId"):
            assert (found["centre"], found["subCentre"]) == (name, subcentre)
            assert found["paramId"] != 0


@pytest.mark.parametrize(("kind", "template"), [("members", 1), ("mean", 2), ("spread", 2)])
def test_analysis_keys(tmp_path: Path, kind: Kind, template: int) -> None:
    write_grib(tmp_path / "a.grib2", [ensemble()], kind, test=True)
    keys = {
        "edition": 2,
        "centre": "65535",
        "significanceOfReferenceTime": 0,
        "dataDate": 20050826,
        "dataTime": 0,
        "productionStatusOfProcessedData": 1,
        "typeOfProcessedData": "an",
        "typeOfGeneratingProcess": 0,
        "productDefinitionTemplateNumber": template,
        "numberOfForecastsInEnsemble": 3,
        "step": 0,
        "gridType": "regular_gg",
        "N": 8,
        "packingType": "grid_ccsds",
        "shapeOfTheEarth": 6,
    }
    found = messages(tmp_path / "a.grib2", *keys)
    assert len(found) == 17 * (3 if kind == "members" else 1)
    assert all({key: message[key] for key in keys} == keys for message in found)


def test_parameters_levels_and_members(tmp_path: Path) -> None:
    sample = ensemble()
    write_grib(tmp_path / "a.grib2", [sample], "members")
    found = messages(
        tmp_path / "a.grib2", "paramId", "typeOfLevel", "level", "perturbationNumber", "bitsPerValue", "units"
    )
    table = {
        (167, "heightAboveGround", 2): ("2t", "K"),
        (165, "heightAboveGround", 10): ("10u", "m s**-1"),
        (166, "heightAboveGround", 10): ("10v", "m s**-1"),
        (134, "surface", 0): ("sp", "Pa"),
        (133, "isobaricInhPa", 850): ("q850", "kg kg**-1"),
        **{(130, "isobaricInhPa", p): (f"t{p}", "K") for p in (850, 500, 250)},
        **{(131, "isobaricInhPa", p): (f"u{p}", "m s**-1") for p in (850, 500, 250)},
        **{(132, "isobaricInhPa", p): (f"v{p}", "m s**-1") for p in (850, 500, 250)},
        **{(156, "isobaricInhPa", p): (f"z{p}", "gpm") for p in (850, 500, 250)},
    }
    names = [c.name for c in sample.channels]
    seen = set()
    for message in found:
        name, units = table[message["paramId"], message["typeOfLevel"], message["level"]]
        assert (message["bitsPerValue"], message["units"]) == (16, units)
        truth = sample.states[message["perturbationNumber"] - 1, names.index(name)].ravel()
        assert np.abs(message["values"] - truth).max() <= np.ptp(truth) / (2**16 - 1) + np.spacing(np.abs(truth).max())
        seen.add((name, message["perturbationNumber"]))
    assert len(seen) == 17 * 3


def test_forecast_keys(tmp_path: Path) -> None:
    write_grib(tmp_path / "f.grib2", [ensemble(hours=hours) for hours in (6, 12)], "members")
    keys = ("significanceOfReferenceTime", "typeOfProcessedData", "typeOfGeneratingProcess", "step", "validityTime")
    found = messages(tmp_path / "f.grib2", *keys)
    assert {message["typeOfProcessedData"] for message in found} == {"pf"}
    assert {message["significanceOfReferenceTime"] for message in found} == {1}
    assert {message["typeOfGeneratingProcess"] for message in found} == {4}
    assert {(message["step"], message["validityTime"]) for message in found} == {(6, 600), (12, 1200)}
    assert len(found) == 2 * 3 * 17


def test_a_constant_field_between_others(tmp_path: Path) -> None:
    sample = ensemble()
    sample.states[1, 5] = 4.25
    write_grib(tmp_path / "a.grib2", [sample], "members")
    found = messages(tmp_path / "a.grib2", "packingType", "bitsPerValue")
    assert (found[5 * 3 + 1]["values"] == 4.25).all()
    assert found[5 * 3 + 2]["packingType"] == "grid_ccsds"
    assert found[5 * 3 + 2]["bitsPerValue"] == 16


def test_the_same_states_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_grib(tmp_path / name, [ensemble()], "members") for name in ("a", "b"))
    assert first.sha256 == second.sha256


def test_a_grid_that_is_not_gaussian_is_refused(tmp_path: Path) -> None:
    sample = ensemble()
    grid = Grid(np.linspace(85, -85, 16), sample.grid.lon, sample.grid.weights)
    with pytest.raises(ProductError, match="16x32 grid is not Gaussian"):
        write_grib(tmp_path / "a.grib2", [Ensemble(sample.states, sample.channels, grid, TIME)], "mean")


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    sample = ensemble(members=255, shape=(4, 8), channels=(channel("2t"),))
    with pytest.raises(ProductError, match="at most 254 members; got 255"):
        write_grib(tmp_path / "a.grib2", [sample], "members")
    assert list(tmp_path.iterdir()) == []


def test_a_written_key_that_reads_back_differently_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = grib._encode

    def faulty(handle: int, message: grib.Message, before: dict[str, grib.Value], issuer: Issuer, path: Path) -> None:
        real(handle, message, before, issuer, path)
        if message.keys["shortName"] == "gh":
            eccodes.codes_set(handle, "level", 851)

    monkeypatch.setattr(grib, "_encode", faulty)
    with pytest.raises(ProductError, match=r"'gh'.*reads back with level = 851, expected 850"):
        write_grib(tmp_path / "a.grib2", [ensemble()], "mean")
    assert list(tmp_path.iterdir()) == []


def test_a_written_value_that_reads_back_differently_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = grib._encode

    def faulty(handle: int, message: grib.Message, before: dict[str, grib.Value], issuer: Issuer, path: Path) -> None:
        real(handle, grib.Message(message.keys, message.values[::-1]), before, issuer, path)

    monkeypatch.setattr(grib, "_encode", faulty)
    with pytest.raises(ProductError, match=r"reads back off by"):
        write_grib(tmp_path / "a.grib2", [ensemble()], "mean")


def test_grib_ls_counts_the_messages(tmp_path: Path) -> None:
    tool = require_tool("grib_ls")
    write_grib(tmp_path / "a.grib2", [ensemble()], "members")
    shown = subprocess.run([tool, tmp_path / "a.grib2"], capture_output=True, text=True, check=True).stdout
    assert "51 of 51 messages in" in shown
