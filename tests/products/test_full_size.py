"""At the default bundle's size: precision, sizes, and that the packing in use is near the best one at hand."""

import time
from pathlib import Path

import eccodes
import netCDF4
import numpy as np
import pytest

from dacycle.channels import channel
from dacycle.cycler.products.fields import read_fields
from dacycle.cycler.products.netcdf import STEPS
from dacycle.cycler.products.publish import publish
from tests.products.samples import ensemble, request

MEMBERS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "00"
    publish(folder, request(analysis=ensemble(MEMBERS, (128, 256))))
    return folder


@pytest.mark.parametrize("name", ["analysis_members.grib2", "analysis.nc"])
def test_the_state_comes_back(folder: Path, name: str) -> None:
    sample = ensemble(MEMBERS, (128, 256))
    back = read_fields(folder / name, sample.channels)
    allowed = {"t": 0.005, "u": 0.005, "v": 0.005, "q": 5e-7, "sp": 1.0, "z": 0.04}
    for k, c in enumerate(sample.channels):
        assert np.abs(back.values[:, k] - sample.states[:, k]).max() <= allowed[c.variable], c.name


def test_a_field_takes_less_than_two_bytes_a_point(folder: Path) -> None:
    fields = 17 * MEMBERS
    assert (folder / "analysis_members.grib2").stat().st_size < 2 * fields * 128 * 256
    assert (folder / "analysis.nc").stat().st_size < 2 * (fields + 2 * 17) * 128 * 256


def test_no_packing_at_hand_is_much_better(real_data: Path) -> None:
    """On real fields: made-up ones are smoother or rougher, which favours one packing or the other."""
    names = "2t 10u 10v sp t850 u850 v850 z850 t500 u500 v500 z500 t250 u250 v250 z250".split()
    fields = read_fields(real_data / "model" / "gfs-2011100800-f072.grb", [channel(name) for name in names])
    packings = ("grid_ccsds", "grid_simple", "grid_complex_spatial_differencing", "grid_second_order", "grid_jpeg")
    sizes = dict.fromkeys(packings, 0)
    for values in fields.values[0]:
        for packing in packings:
            handle = eccodes.codes_grib_new_from_samples("GRIB2")
            for key, value in {"Ni": 144, "Nj": 73, "packingType": packing, "bitsPerValue": 16}.items():
                eccodes.codes_set(handle, key, value)
            eccodes.codes_set_values(handle, values.astype(np.float64).ravel())
            sizes[packing] += eccodes.codes_get_message_size(handle)
            eccodes.codes_release(handle)
    assert sizes["grid_ccsds"] <= 1.3 * min(sizes.values()), sizes


def test_no_netcdf_packing_at_hand_is_much_better(real_data: Path, tmp_path: Path) -> None:
    """The same rounded values, as floats with other filters and as integers."""
    names = "2t sp t850 u850 v850 z850 t500 u500 z500 u250 z250".split()
    fields = read_fields(real_data / "model" / "gfs-2011100800-f072.grb", [channel(name) for name in names])
    ways = {
        "ours": ("f4", {"compression": "zlib", "complevel": 1, "shuffle": True}),
        "zlib 9": ("f4", {"compression": "zlib", "complevel": 9, "shuffle": True}),
        "zstd": ("f4", {"compression": "zstd", "complevel": 9, "shuffle": True}),
        "integers": ("i4", {"compression": "zlib", "complevel": 4, "shuffle": True}),
    }
    sizes = {}
    for way, (kind, options) in ways.items():
        with netCDF4.Dataset(tmp_path / "x.nc", "w") as file:
            file.createDimension("lat", 73)
            file.createDimension("lon", 144)
            for c, values in zip(fields.channels, fields.values[0], strict=True):
                steps = np.rint(values / np.float32(STEPS[c.variable]))
                variable = file.createVariable(c.netcdf_name, kind, ("lat", "lon"), chunksizes=(32, 64), **options)
                variable[:] = steps - steps.min() if kind == "i4" else steps * np.float32(STEPS[c.variable])
        sizes[way] = (tmp_path / "x.nc").stat().st_size
    assert sizes["ours"] <= 1.3 * min(sizes.values()), sizes


def test_twenty_members_cost_two_seconds_of_two_processors_at_most(tmp_path: Path) -> None:
    """GRIB2 and netCDF together, 17 channels; in processor time, which a busy machine changes less than a clock's."""
    request_of_twenty = request(analysis=ensemble(20, (128, 256)))
    began = time.process_time()
    publish(tmp_path / "00", request_of_twenty)
    assert time.process_time() - began < 4.0
