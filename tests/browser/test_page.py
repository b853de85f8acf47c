"""The status page in a browser: timeline, map, stations, series, themes, telephone, keyboard, no complaints."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.progress import Progress
from tests.browser.browser import Browser, browser
from tests.cycle.small_world import START, STATIONS, config, hours, soundings
from tests.service.site import Fine, site

NOW = hours(60)


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bundle_path: Path) -> Config:
    """Real cycles of a small world: three with soundings, a free forecast, one more, and one that failed."""
    root = tmp_path_factory.mktemp("page")
    archive = soundings(root / "archive", [hours(h) for h in (0, 12, 24, 48, 60)])
    chosen = config(root, archive, tiny_bundle_path, cycle={"first": START, "cutoff_hours": 12})

    def poison(progress: Progress) -> None:
        if progress.point == "step" and progress.time == hours(60):
            raise RuntimeError("the assimilation met <b>poison</b>")

    with open_engine(chosen, hours(49)) as engine:
        for number in range(5):
            engine.run(hours(12 * number), hours(12 * number + 13))
        engine.look(NOW)
        with pytest.raises(RuntimeError):
            replace(engine, observer=poison).run(hours(60), NOW)
    return chosen


@pytest.fixture(scope="module")
def health() -> Fine:
    return Fine(NOW + timedelta(hours=1))


@pytest.fixture(scope="module")
def address(world: Config, health: Fine) -> Iterator[str]:
    with site(world, health) as told:
        yield told


@pytest.fixture
def page(window: Browser, address: str) -> Iterator[Browser]:
    window.scheme("light")
    window.size(1280, 900)
    window.open(address)
    yield window
    assert window.complaints() == []


def labels(page: Browser) -> list[str]:
    return list(page.script("return [...document.querySelectorAll('.cell')].map(c => c.getAttribute('aria-label'))"))


def pixels(page: Browser) -> list[int]:
    """Red of every so many-th pixel of the map."""
    told = (
        "const c = document.getElementById('map'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
    )
    return list(page.script(f"{told} return [...d].filter((_, k) => k % 404 === 0)"))


def test_a_failed_cycle_is_the_first_thing_that_is_seen(page: Browser) -> None:
    verdict = page.text(".verdict")
    assert "The cycle of 2021-03-03 12 UTC failed" in verdict
    assert "the assimilation met <b>poison</b>" in verdict
    assert "What to do" in verdict
    shown = labels(page)
    assert [label.split(" delayed: ")[1] for label in shown] == [
        "published with soundings",
        "published with soundings",
        "published with soundings",
        "published as a forecast: no soundings",
        "published with soundings",
        "failed",
    ]
    opened = page.text(".detail:not([hidden])")
    assert "assimilate failed" in " ".join(opened.split())
    assert page.driver.title == "dacycle" or page.driver.title.startswith("✗")
    page.shoot("failed")


def test_a_cycle_opens_its_stages_by_mouse_and_by_key(page: Browser) -> None:
    page.click(".cell.free")
    detail = " ".join(page.text(".detail:not([hidden])").split())
    assert "published as a forecast" in detail
    assert "reinitialise" in detail
    assert "dacycle rerun 2021-03-02T12 --config FILE" in detail
    page.shoot("free-forecast")
    page.script("document.querySelector('.cell').focus()")
    page.driver.switch_to.active_element.send_keys("\n")
    assert "2021-03-01 00 UTC" in page.text(".detail:not([hidden])")


def test_map_shows_every_kind_and_channel(page: Browser) -> None:
    newest = "2021-03-03T00:00:00Z"
    seen = {}
    for kind in ("mean", "spread", "increment"):
        page.click(f"[data-kind={kind}]")
        page.until(lambda kind=kind: page.data("field") == f"{kind} t850 {newest}")
        seen[kind] = pixels(page)
        assert len(set(seen[kind])) > 20
    assert seen["mean"] != seen["spread"] != seen["increment"]
    assert page.text("#bar-low").startswith("-")  # increments: symmetric about zero
    page.choose("#map-channel", "q850")
    page.until(lambda: page.data("field") == f"increment q850 {newest}")
    assert "g/kg" in page.text("#bar-high")
    assert pixels(page) != seen["increment"]
    page.shoot("increment")
    page.click("[data-kind=stations]")
    page.until(lambda: page.data("field") == "stations")
    assert "complete" in page.text("#station-legend")


def test_a_click_on_a_sounding_shows_the_station(page: Browser) -> None:
    assert page.data("stations") == str(len(STATIONS))
    spot = page.script(
        "const m = dacycle.map.state, s = m.stations[7], b = document.getElementById('map').getBoundingClientRect();"
        "document.getElementById('map').scrollIntoView({block: 'center'});"
        "return [s.station, s.at[0] / m.view.width, s.at[1] / m.view.height, b.width, b.height]"
    )
    chains = __import__("selenium.webdriver", fromlist=["ActionChains"]).ActionChains(page.driver)
    canvas = page.driver.find_element("id", "map")
    dx, dy = round((spot[1] - 0.5) * spot[3]), round((spot[2] - 0.5) * spot[4])
    chains.move_to_element_with_offset(canvas, dx, dy).click().perform()
    page.until(lambda: page.script("return document.getElementById('station-body').dataset.station") == spot[0])
    body = page.text("#station-body")
    assert "Reported to 4 of the last 5 cycles" in body
    assert "t850" in body
    assert page.script("return document.getElementById('chart-station').dataset.points") == "5"
    assert page.script("return document.getElementById('station-variable').value") == "t"  # the map's channel is t850
    tall = "return ['#station', '.map'].map(s => document.querySelector(s).offsetHeight)"
    panel, figure = page.script(tall)
    assert panel <= figure  # what is longer scrolls; nothing stays white beside the map
    page.shoot("station")
    page.script("document.getElementById('map').focus()")
    page.driver.switch_to.active_element.send_keys("\ue014")  # the arrow to the right
    page.until(lambda: page.script("return document.getElementById('station-body').dataset.station") != spot[0])


def test_series_follow_their_channel_and_period(page: Browser) -> None:
    page.until(lambda: page.script("return document.getElementById('chart-rms').dataset.points") == "5")
    page.choose("#series-channel", "z500")
    page.until(lambda: page.text("[data-unit]") == "m")
    page.choose("#series-days", "366")
    assert page.script("return document.querySelectorAll('#chart-ranks canvas').length") == 1
    legend = page.text("#chart-rms .u-legend").replace("\n", " ")
    assert "2021-03-03 00" in legend  # the newest values, until the mouse is there
    assert "–" not in legend


def test_lines_of_reference_carry_no_dots(page: Browser) -> None:
    watched = (
        "const real = uPlot; window.drawn = []; const seen = "
        "function (options, ...told) { drawn.push(...options.series); return new real(options, ...told); };"
        "window.uPlot = Object.assign(seen, real)"
    )
    page.script(watched)
    page.choose("#series-channel", "z500")
    page.until(lambda: page.text("[data-unit]") == "m")
    told = page.script("return drawn.filter(s => s.points).map(s => [s.label, Boolean(s.dash), s.points.show])")
    assert {label: dots for label, dashed, dots in told if dashed} == {"zero": False, "right": False, "flat": False}
    assert ["O-B", False, True] in told


def test_no_text_is_clipped_or_written_over_another(page: Browser) -> None:
    wider = (
        "const e = document.querySelector(arguments[0]), before = e.offsetWidth;"
        "e.style.maxWidth = 'none'; return e.offsetWidth - before"
    )
    page.size(1300, 900)
    assert [page.script(wider, f"#{name}-channel") for name in ("map", "series")] == [0, 0]
    days = page.script("return [...document.querySelectorAll('.day')].map(d => [d.scrollWidth, d.offsetWidth])")
    assert all(text <= room for text, room in days)  # so that single days beside each other have room


def test_dark_is_dark_and_the_button_goes_round(page: Browser) -> None:
    def brightness() -> int:
        told = page.script("return getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in told[4:-1].split(","))

    assert brightness() > 650
    page.scheme("dark")
    assert brightness() < 120
    page.shoot("dark")
    for wanted in (120, 0):  # dark by choice, then light by choice, though the system is dark
        page.click("#theme")
        assert (brightness() < 120) == (wanted == 120)
    page.click("#theme")
    assert brightness() < 120


def test_telephone_needs_no_scrolling_sideways(page: Browser) -> None:
    page.size(390, 844)
    page.open(page.driver.current_url)
    assert page.script("return document.documentElement.scrollWidth") <= 390
    assert page.violations() == []
    page.shoot("telephone", 390)


def test_axe_finds_nothing_serious_in_light_and_dark(page: Browser) -> None:
    page.script("return dacycle.station(dacycle.map.state.stations[3].station)")
    page.until(lambda: page.script("return document.getElementById('station-body').dataset.station"))
    assert page.violations() == []
    page.scheme("dark")
    assert page.violations() == []
    address = page.driver.current_url
    page.driver.get(f"{address}runbook")
    assert page.text("h2#cyclefailed") == "CycleFailed"
    assert page.violations() == []
    page.shoot("runbook")


def test_before_anything_has_run_the_page_says_so(window: Browser, world: Config, tmp_path: Path) -> None:
    empty = world.model_copy(update={"paths": world.paths.model_copy(update={"state": tmp_path / "state"})})
    window.scheme("light")
    with site(empty, Fine(NOW)) as address:
        window.open(address)
        assert "waits for its first cycle" in window.text(".verdict")
        assert window.violations() == []
        window.shoot("nothing")
        with open_engine(empty, NOW) as engine:
            engine.run(hours(0), NOW)
        window.until(lambda: window.data("field") == "mean t850 2021-03-01T00:00:00Z")
        window.until(lambda: window.text("#chart-spread") == "Appears after the second cycle.")
        window.shoot("first")
        assert window.complaints() == []


def test_what_the_daemon_does_is_seen_at_once(page: Browser, health: Fine) -> None:
    page.script("window.untouched = true")
    health.says(busy="2021-03-03 12 UTC delayed: assimilate", done=3, total=8)
    page.until(lambda: page.text(".cards").count("assimilate"))
    assert page.script("return document.querySelector('progress').value") == 3
    health.says(busy="", done=0, total=0)
    page.until(lambda: "idle" in page.text(".cards"))
    health.says(trouble="the worker has ended")
    page.until(lambda: "The daemon does not work" in page.text(".verdict"))
    health.says(trouble="")
    page.until(lambda: "failed" in page.text(".verdict"))
    assert page.script("return window.untouched")
