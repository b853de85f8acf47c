"""Quick-looks: colours, projection, pictures of the right things, and no cycle that fails for want of one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dacycle.cycler.products import quicklook
from dacycle.cycler.products.drawing import Panel, extent, levels, picture
from dacycle.cycler.products.manifest import read_manifest, verify
from dacycle.cycler.products.palettes import PALETTES, palette
from dacycle.cycler.products.projection import ASPECT, coastlines, project, sampling
from dacycle.cycler.products.publish import publish
from dacycle.cycler.products.quicklook import LOOKS, Quicklook
from dacycle.emulators.grid import gaussian_grid
from tests.products.samples import ensemble, request, small

GRID = gaussian_grid(16, 32)


def lightness(colours: np.ndarray) -> np.ndarray:
    return np.cbrt((colours / 255) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("name", PALETTES)
def test_palettes_pass_through_their_anchors_and_never_change_lightness_to_and_fro(name: str) -> None:
    anchors = [[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in PALETTES[name]]
    np.testing.assert_allclose(palette(name, len(anchors)), anchors, atol=1.0)
    turns = np.diff(np.sign(np.diff(lightness(palette(name, 41)))))
    assert np.count_nonzero(turns) <= 1, "lightness rises, or falls, or does one after the other"


def test_equal_earth_has_equal_areas() -> None:
    """Every pixel inside the globe stands for the same area: the share of pixels between two parallels tells."""
    seen = sampling(GRID, 400)
    z = np.sin(np.deg2rad(GRID.lat))[:, None] * np.ones(GRID.shape)
    inside = seen.inside > 0.5
    for latitude in (20.0, 45.0, 65.0):
        share = (np.abs(seen.of(z))[inside] < np.sin(np.deg2rad(latitude))).mean()
        assert share == pytest.approx(np.sin(np.deg2rad(latitude)), abs=0.02)
    assert seen.inside.shape == (round(400 / ASPECT), 400)


def test_a_pixel_shows_the_place_that_is_projected_onto_it() -> None:
    seen = sampling(GRID, 400)
    lat, lon = np.array([50.0, -30.0, 0.0]), np.array([20.0, 130.0, -100.0])
    lam = np.deg2rad(GRID.lon)[None] + 0 * GRID.lat[:, None]
    sine, cosine, z = seen.of(np.sin(lam)), seen.of(np.cos(lam)), seen.of(GRID.lat[:, None] + 0 * lam)
    x, y = project(lat, lon)
    rows = ((1 - y) / 2 * seen.inside.shape[0]).astype(int)
    columns = ((x + 1) / 2 * 400).astype(int)
    np.testing.assert_allclose(z[rows, columns], lat, atol=1.5)
    east = np.rad2deg(np.arctan2(sine[rows, columns], cosine[rows, columns]))
    np.testing.assert_allclose(east, lon, atol=2.0)


def test_coastlines_lie_on_the_page_and_none_runs_across_it() -> None:
    lines = coastlines()
    assert len(lines) > 200
    assert max(np.abs(np.concatenate(line)).max() for line in lines) <= 1.0
    assert max(np.hypot(np.diff(x), np.diff(y)).max() for x, y in lines) < 0.1


def test_levels_are_round_and_hold_the_range() -> None:
    assert levels(0.0, 9.3, 10) == list(range(11))
    assert levels(-3.1, 2.0, 10, symmetric=True) == [-4, -3, -2, -1, 0, 1, 2, 3, 4]
    low = levels(51234.0, 104321.0, 20)
    assert low[0] <= 51234 < low[1]
    assert low[-2] < 104321 <= low[-1]


def test_a_step_is_drawn_where_it_is() -> None:
    """West of the centre meridian one colour, east of it the other."""
    field = np.where((GRID.lon > 10) & (GRID.lon < 190), 1.0, 0.0)[None] + np.zeros(GRID.shape)
    drawn = picture(GRID, "Step", "", [Panel("p", "1", field, "height", [0, 0.5, 1])], width=400)
    colours = palette("height", 2)
    pixels = np.asarray(drawn)
    row = 92 + 30 + round(328 / ASPECT) // 2 + 12
    for column, expected in ((36 + 90, colours[0]), (36 + 240, colours[1])):
        assert np.abs(pixels[row, column] - expected).max() <= 2


def test_the_bar_has_an_arrow_where_values_lie_beyond_it() -> None:
    field = np.linspace(-1, 1, GRID.lat.size)[:, None] + np.zeros(GRID.shape)
    ends = {}
    for name, ticks in (("within", [-1, 0, 1]), ("below", [-0.5, 0, 1]), ("above", [-1, 0, 0.5])):
        drawn = np.asarray(picture(GRID, "", "", [Panel("", "", field, "height", ticks)], width=400))
        row = 92 + 30 + round(328 / ASPECT) + 14 + 5
        left, right = 36 + 328 // 8, 36 + 328 // 8 + 328 * 3 // 4
        ends[name] = [(drawn[row, left - 5] < 250).any(), (drawn[row, right + 4] < 250).any()]
    assert ends == {"within": [False, False], "below": [True, False], "above": [False, True]}


def test_extents_have_the_decimals_of_the_larger_end() -> None:
    assert extent(0.0967, 142.3) == "0 to 142"
    assert extent(-2.774, 2.1) == "-2.77 to 2.10"
    assert extent(-0.001, 17.92) == "0.0 to 17.9"
    assert extent(4987.2, 5902.9) == "4987 to 5903"


def test_a_picture_and_its_page_tell_the_time_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subtitles = []

    def drawn(*told: object) -> Image.Image:
        subtitles.append(told[2])
        return Image.new("RGB", (4, 4))

    monkeypatch.setattr("dacycle.cycler.products.drawing.picture", drawn)
    publish(tmp_path / "00", request(quicklook=look((16, 32)), formats=("netcdf",)))
    assert set(subtitles) == {"Analysis of 2005-08-26 00 UTC  ·  3 members  ·  sda  ·  prior of a simulated world"}
    page = (tmp_path / "00" / "quicklook.html").read_text()
    assert page.split("<body")[-1].split("</title>")[1].count("2005-08-26") == 1


def look(shape: tuple[int, int]) -> Quicklook:
    return Quicklook(np.full(shape, 50.0, np.float32), ensemble(shape=shape, seed=1).fields("mean")[0])


def test_pictures_and_page_are_products_like_the_others(tmp_path: Path) -> None:
    sample = ensemble(shape=(16, 32))
    publish(tmp_path / "00", request(analysis=sample, quicklook=look((16, 32)), formats=("netcdf",)))
    manifest = read_manifest(tmp_path / "00")
    assert manifest is not None
    names = {f"quicklook_{name}.png" for name in LOOKS}
    assert set(manifest.products) >= {*names, "quicklook.html"}
    assert verify(tmp_path / "00") == ()
    page = (tmp_path / "00" / "quicklook.html").read_text()
    for name in names:
        assert f'src="{name}"' in page
        with Image.open(tmp_path / "00" / name) as drawn:
            assert drawn.size[0] == 1200
            colours = drawn.convert("RGB").getcolors(1 << 24)
            assert colours is not None
            assert len(colours) > 30
    again = publish(tmp_path / "00", request(analysis=sample, quicklook=look((16, 32)), formats=("netcdf",)))
    assert again.revision == 1, "the same state gives the same pictures to the byte"


def test_increments_are_those_of_the_mean_and_of_fields_derived_from_it() -> None:
    sample = ensemble(shape=(16, 32))
    given = look((16, 32))
    fields = {name: increment for name, _, _, increment in quicklook._fields(sample, given)}
    assert set(fields) == set(LOOKS)
    names = [c.name for c in sample.channels]
    assert given.background is not None
    mean, before = sample.fields("mean")[0], given.background
    np.testing.assert_allclose(fields["t850"], (mean - before)[names.index("t850")], atol=1e-4)
    u, v = names.index("u250"), names.index("v250")
    expected = np.hypot(mean[u], mean[v]) - np.hypot(before[u], before[v])
    np.testing.assert_allclose(fields["ws250"], expected, atol=1e-3)


def test_a_picture_that_fails_is_told_and_nothing_else_suffers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no ink")

    monkeypatch.setattr("dacycle.cycler.products.publish.write_quicklook", broken)
    manifest = publish(tmp_path / "00", small(quicklook=Quicklook(np.zeros((4, 8), np.float32), None)))
    assert manifest.runtime["quicklook"] == "not drawn: ZeroDivisionError: no ink"
    assert "analysis.nc" in manifest.products
    assert not list((tmp_path / "00").glob("quicklook*"))
