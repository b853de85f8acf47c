"""Opening a bundle: what is read, and how each fault is told."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.emulators.season import season_basis
from dacycle.errors import BundleError


@pytest.fixture
def copy(tiny_bundle_path: Path, tmp_path: Path) -> Path:
    """A bundle to spoil."""
    return Path(shutil.copytree(tiny_bundle_path, tmp_path / "bundle"))


def test_statics_survive_the_packing(tiny_bundle: Bundle) -> None:
    mean = tiny_bundle.climatology.mean(datetime(2001, 8, 25, tzinfo=UTC))
    assert mean.shape == (17, 16, 32)
    np.testing.assert_allclose(mean[tiny_bundle.index("z500")], 5600.0, rtol=1e-4)
    np.testing.assert_allclose(tiny_bundle.climatology.std[tiny_bundle.index("t850")], 4.0, rtol=1e-4)
    np.testing.assert_allclose(tiny_bundle.climatology.std[tiny_bundle.index("q850")], 0.001, rtol=1e-4)
    assert tiny_bundle.forecast_error.shape == (8, 17, 17)


def test_the_season_turns_once_a_year() -> None:
    new_year = season_basis(datetime(2000, 1, 1, tzinfo=UTC))
    np.testing.assert_allclose(new_year, [1, 1, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(season_basis(datetime(2100, 1, 1, tzinfo=UTC)), new_year, atol=0.03)


def test_the_digest_knows_every_byte(copy: Path, tiny_bundle: Bundle) -> None:
    assert open_bundle(str(copy)).digest == tiny_bundle.digest
    with (copy / "emulator.safetensors").open("ab") as file:
        file.write(b"x")
    assert open_bundle(str(copy)).digest != tiny_bundle.digest


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "statics.nc").unlink()
    with pytest.raises(BundleError, match=r"missing: statics\.nc"):
        open_bundle(str(copy))


def test_a_card_that_is_none_is_told(copy: Path) -> None:
    (copy / "bundle.toml").write_text("name = 3\n")
    with pytest.raises(BundleError, match=r"bundle\.toml is not a model card"):
        open_bundle(str(copy))
    text = (copy / "bundle.toml").read_text() + "broken ["
    (copy / "bundle.toml").write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.toml is not a model card"):
        open_bundle(str(copy))


def test_a_static_of_another_shape_is_told(copy: Path) -> None:
    with netCDF4.Dataset(copy / "statics.nc", "r+") as file:
        file.renameVariable("land", "sea")
    with pytest.raises(BundleError, match=r"statics\.nc lacks the variable land"):
        open_bundle(str(copy))
    with netCDF4.Dataset(copy / "statics.nc", "r+") as file:
        file.renameVariable("orography", "land")
        file.renameVariable("sea", "orography")
        file["land"][0, 0] = np.nan
    with pytest.raises(BundleError, match="land must be finite"):
        open_bundle(str(copy))


def test_an_unknown_channel_is_told(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="has no channel t700"):
        tiny_bundle.index("t700")


@pytest.mark.parametrize("found", ["2", '"x"', "-1"])
def test_bundle_of_a_newer_format_asks_for_the_newer_program(copy: Path, found: str) -> None:
    card = copy / "bundle.toml"
    assert "format = 1\n" in card.read_text()
    card.write_text(card.read_text().replace("format = 1\n", f"format = {found}\n") + "key_of_a_later_version = 1\n")
    with pytest.raises(BundleError, match=r"^bundle [^\n]*: format \S+; this program knows 1: install the newer one$"):
        open_bundle(str(copy))


def put_slope(bundle: Path, nodes: int) -> None:
    """A slope by place of so many nodes, and no error."""
    with netCDF4.Dataset(bundle / "statics.nc", "r+") as file:
        file.createDimension("node", nodes)
        dimensions = ("node", "degree", "channel", "channel_column")
        file.createVariable("local_slope", "f4", dimensions)[:] = 1.0


def test_statistics_by_place_come_together_and_for_every_node(copy: Path) -> None:
    put_slope(copy, 3)
    with pytest.raises(BundleError, match=r"local_slope must be finite, of shape \(4, 8, 17, 17\); got \(3, "):
        open_bundle(str(copy))


def test_a_slope_by_place_without_its_error_is_refused(copy: Path) -> None:
    put_slope(copy, 4)
    with pytest.raises(BundleError, match="lacks the variable local_error_covariance"):
        open_bundle(str(copy))
