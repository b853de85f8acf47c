"""Gridded states come back: our own products, other centres' GRIB, and what cannot be a state."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import eccodes
import netCDF4
import numpy as np
import pytest

from dacycle.channels import DEFAULT_CHANNELS, channel
from dacycle.cycler.products.fields import read_fields
from dacycle.cycler.products.grib import write_grib
from dacycle.cycler.products.netcdf import STEPS, write_netcdf
from dacycle.errors import ProductError
from tests.products.samples import PROVENANCE, TIME, ensemble

KINDS = ("members", "mean", "spread")


def test_our_grib_gives_the_states_back(tmp_path: Path) -> None:
    sample = ensemble()
    write_grib(tmp_path / "a.grib2", [sample], "members")
    back = read_fields(tmp_path / "a.grib2", DEFAULT_CHANNELS)
    assert back.time == TIME
    np.testing.assert_allclose(back.lat, sample.grid.lat, atol=1e-6)
    np.testing.assert_allclose(back.lon, sample.grid.lon, atol=1e-6)
    for k, c in enumerate(sample.channels):
        # binary scaling rounds the packing step up to a power of two
        allowed = np.ptp(sample.states[:, k]) / 2**16 + np.spacing(np.abs(sample.states[:, k]).max())
        assert np.abs(back.values[:, k] - sample.states[:, k]).max() <= allowed, c.name


def test_our_netcdf_gives_the_states_back(tmp_path: Path) -> None:
    sample = ensemble()
    write_netcdf(tmp_path / "a.nc", [sample], KINDS, PROVENANCE)
    chosen = (channel("z500"), channel("2t"))
    back = read_fields(tmp_path / "a.nc", chosen, TIME)
    assert back.values.shape == (3, 2, 16, 32)
    for k, c in enumerate(chosen):
        truth = sample.states[:, sample.channels.index(c)]
        assert np.abs(back.values[:, k] - truth).max() <= STEPS[c.variable] / 2 + 1e-3
    np.testing.assert_array_equal(back.lat, sample.grid.lat)


def test_a_mean_counts_as_one_member(tmp_path: Path) -> None:
    sample = ensemble()
    write_grib(tmp_path / "m.grib2", [sample], "mean")
    write_netcdf(tmp_path / "m.nc", [sample], ("mean", "spread"), PROVENANCE)
    for name in ("m.grib2", "m.nc"):
        back = read_fields(tmp_path / name, (channel("t850"),))
        assert back.values.shape == (1, 1, 16, 32)
        assert np.abs(back.values[0, 0] - sample.fields("mean")[0, 4]).max() < 0.005


def test_a_spread_is_no_state(tmp_path: Path) -> None:
    write_grib(tmp_path / "s.grib2", [ensemble()], "spread")
    with pytest.raises(ProductError, match="holds an ensemble spread; a state is expected"):
        read_fields(tmp_path / "s.grib2", (channel("t850"),))


def test_a_forecast_file_wants_a_valid_time(tmp_path: Path) -> None:
    forecasts = [ensemble(hours=6), ensemble(hours=12, seed=1)]
    write_grib(tmp_path / "f.grib2", forecasts, "members")
    write_netcdf(tmp_path / "f.nc", forecasts, KINDS, PROVENANCE)
    wanted = (channel("u250"),)
    for name in ("f.grib2", "f.nc"):
        with pytest.raises(ProductError, match="holds 2 times, 2005-08-26T06Z, 2005-08-26T12Z; say which one"):
            read_fields(tmp_path / name, wanted)
        back = read_fields(tmp_path / name, wanted, TIME + timedelta(hours=12))
        assert np.abs(back.values[:, 0] - forecasts[1].states[:, 14]).max() < 0.005
        with pytest.raises(ProductError, match="has no fields valid at 2005-08-26T18Z; it has 2005-08-26T06Z, 2005"):
            read_fields(tmp_path / name, wanted, TIME + timedelta(hours=18))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write_grib(tmp_path / "a.grib2", [ensemble(channels=DEFAULT_CHANNELS[:4])], "mean")
    with pytest.raises(ProductError, match="lacks the channels t850 z500"):
        read_fields(tmp_path / "a.grib2", (channel("2t"), channel("t850"), channel("z500")))
    with pytest.raises(ProductError, match="holds none of the channels t850"):
        read_fields(tmp_path / "a.grib2", (channel("t850"),))
    with pytest.raises(ProductError, match=r"cannot read .*: No such file"):
        read_fields(tmp_path / "b.grib2", (channel("t850"),))


@pytest.mark.parametrize("content", [b"", b"no field file at all", b"GRIB\x00\x00\x00\x02 cut short"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ProductError, match=r"holds none of the channels|is damaged or no GRIB file"):
        read_fields(tmp_path / "x", (channel("t850"),))


def test_a_truncated_grib_file_is_refused(tmp_path: Path) -> None:
    write_grib(tmp_path / "a.grib2", [ensemble()], "members")
    whole = (tmp_path / "a.grib2").read_bytes()
    (tmp_path / "a.grib2").write_bytes(whole[: len(whole) - 100])
    with pytest.raises(ProductError, match="is damaged or no GRIB file"):
        read_fields(tmp_path / "a.grib2", DEFAULT_CHANNELS)


def test_a_netcdf_of_another_origin_is_refused(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "a.nc", "w"):
        pass
    with pytest.raises(ProductError, match="holds none of the channels t850"):
        read_fields(tmp_path / "a.nc", (channel("t850"),))


LAT, LON = np.array([10.0, 0.0, -10.0]), np.array([0.0, 90.0, 180.0, 270.0])
FIELD = 10 * LAT[:, None] + LON


def foreign(path: Path, south_first: bool, first_lon: int, gap: bool = False) -> None:
    """``FIELD`` as t at 850 hPa on 3 x 4 points in another centre's order: its rows and columns begin elsewhere."""
    columns = np.argsort((LON - first_lon) % 360)
    values = FIELD[::-1][:, columns] if south_first else FIELD[:, columns]
    values = values.ravel().copy()
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    keys = {
        "Ni": 4,
        "Nj": 3,
        "jScansPositively": int(south_first),
        "latitudeOfFirstGridPointInDegrees": -10 if south_first else 10,
        "latitudeOfLastGridPointInDegrees": 10 if south_first else -10,
        "longitudeOfFirstGridPointInDegrees": first_lon,
        "longitudeOfLastGridPointInDegrees": first_lon + 270,
        "iDirectionIncrementInDegrees": 90,
        "jDirectionIncrementInDegrees": 10,
        "shortName": "t",
        "level": 850,
        "bitsPerValue": 24,
    }
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    if gap:
        eccodes.codes_set(handle, "bitmapPresent", 1)
        eccodes.codes_set(handle, "missingValue", -1e9)
        values[5] = -1e9
    eccodes.codes_set_values(handle, values)
    with path.open("wb") as file:
        eccodes.codes_write(handle, file)
    eccodes.codes_release(handle)


@pytest.mark.parametrize("south_first", [False, True])
@pytest.mark.parametrize("first_lon", [0, -180, 180, -90])
def test_rows_end_north_first_and_columns_from_0(tmp_path: Path, south_first: bool, first_lon: int) -> None:
    foreign(tmp_path / "a", south_first, first_lon)
    back = read_fields(tmp_path / "a", (channel("t850"),))
    assert back.lat.tolist() == LAT.tolist()
    assert back.lon.tolist() == LON.tolist()
    np.testing.assert_allclose(back.values[0, 0], FIELD, atol=1e-4)


def test_missing_values_are_no_state(tmp_path: Path) -> None:
    foreign(tmp_path / "a", False, 0, gap=True)
    with pytest.raises(ProductError, match="t850 has missing values"):
        read_fields(tmp_path / "a", (channel("t850"),))


def test_real_forecast_with_multi_field_messages(real_data: Path) -> None:
    """GFS 2.5 degrees, 72 h from 2011-10-08: v and 10v are second fields of their messages."""
    path = real_data / "model" / "gfs-2011100800-f072.grb"
    names = "2t 10u 10v sp t850 u850 v850 z850 t500 u500 v500 z500 t250 u250 v250 z250".split()
    back = read_fields(path, [channel(name) for name in names])
    assert back.time == datetime(2011, 10, 11, tzinfo=UTC)
    assert back.values.shape == (1, 16, 73, 144)
    assert (back.lat[0], back.lat[-1], back.lon[0], back.lon[-1]) == (90, -90, 0, 357.5)
    values = dict(zip(names, back.values[0], strict=True))
    assert 200 < values["t850"].min() < values["t850"].max() < 320
    assert 4500 < values["z500"].min() < values["z500"].max() < 6000
    # The jet: the strongest mean westerlies at 250 hPa lie in middle latitudes; v has no such mean.
    assert 20 < abs(back.lat[values["u250"].mean(-1).argmax()]) < 60
    assert np.abs(values["v250"].mean(-1)).max() < 10 < np.abs(values["v250"]).max()


def test_real_reanalysis_ensemble(real_data: Path) -> None:
    """ERA5, 10 members at 4 times on 3 degrees, GRIB1, geopotential in m2 s-2."""
    path = real_data / "model" / "era5-eda-members-20170101.grib"
    wanted = [channel(name) for name in ("z500", "t850", "z850", "t500")]
    with pytest.raises(ProductError, match="holds 4 times, 2017-01-01T00Z, 2017-01-01T12Z, 2017-01-02T00Z"):
        read_fields(path, wanted)
    back = read_fields(path, wanted, datetime(2017, 1, 2, 12, tzinfo=UTC))
    assert back.values.shape == (10, 4, 61, 120)
    assert 4700 < back.values[:, 0].min() < back.values[:, 0].max() < 6000
    assert 0.1 < back.values[:, 1].std(0).mean() < 2
    with pytest.raises(ProductError, match="lacks the channels u500"):
        read_fields(path, [*wanted, channel("u500")], datetime(2017, 1, 2, 12, tzinfo=UTC))
