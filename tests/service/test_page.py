"""The parts of the page, over a ledger written by hand and products that were really published."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.cycle.owed import SOURCE_NEWEST, SOURCE_SEEN
from dacycle.cycler.cycle.records import Counts, format_time
from dacycle.cycler.cycle.states import STATE_OF, Stage, State, Stream
from dacycle.cycler.products.catalogue import lying
from dacycle.cycler.products.folders import product_folder
from dacycle.cycler.products.manifest import read_manifest
from dacycle.cycler.products.publish import publish
from dacycle.obs.batch import Quality
from tests.products.samples import TIME, ensemble, request
from tests.products.test_quicklook import look
from tests.service.site import Fine, site

DUE = TIME + timedelta(hours=12 + 72)
BUSY = "2005-08-26 12 UTC delayed: assimilate"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate({"paths": {"state": tmp_path / "state"}, "service": {"port": 0}})


@pytest.fixture
def published(config: Config) -> Config:
    """A cycle with all its products, and a held one after it."""
    folder = product_folder(config.paths.state, TIME)
    publish(folder, request(analysis=ensemble(), quicklook=look((16, 32))))
    with Ledger.open(config.paths.state) as ledger:
        cycle = ledger.add_cycle(TIME, Stream.DELAYED, DUE).id
        for stage in Stage:
            ledger.move(cycle, STATE_OF[stage], DUE)
        ledger.move(cycle, State.PUBLISHED, DUE)
        ledger.set_counts(cycle, Counts(90, 80, 0, {"t850": {"used": 70, "buddy": 3}, "z850": {"used": 9, "gross": 2}}))
        ledger.enter_products(TIME, Stream.DELAYED, lying(config.paths.state, TIME, "delayed"))
        ledger.set_note(SOURCE_NEWEST, format_time(TIME))
        ledger.set_note(SOURCE_SEEN, format_time(DUE))
    return config


@pytest.fixture
def health() -> Fine:
    return Fine(DUE)


@pytest.fixture
def client(published: Config, health: Fine) -> Iterator[httpx.Client]:
    with site(published, health) as address, httpx.Client(base_url=address, timeout=30) as opened:
        yield opened


def test_every_file_of_the_manifest_is_linked_and_comes(client: httpx.Client, published: Config) -> None:
    manifest = read_manifest(product_folder(published.paths.state, TIME))
    assert manifest is not None
    assert {"analysis_members.grib2", "quicklook.html"} <= set(manifest.products)
    part = client.get("/parts/cycles").text
    for name in (*manifest.products, "manifest.json"):
        address = f"/products/2005/08/26/00/{name}"
        assert f'href="{address}"' in part
        assert client.head(address).status_code == 200
    assert ">members (GRIB2)</a>" in part
    assert ">maps</a>" in part
    policy = client.get("/products/2005/08/26/00/quicklook.html").headers["content-security-policy"]
    assert "style-src 'unsafe-inline'" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize(
    ("late", "words", "level"),
    [(timedelta(hours=2), "Healthy", "busy"), (timedelta(hours=30), "Late by 30 hours", "watch")],
)
def test_health_is_told_also_while_a_cycle_runs(
    client: httpx.Client, health: Fine, late: timedelta, words: str, level: str
) -> None:
    health.says(now=DUE + late, busy=BUSY)
    part = client.get("/parts/now").text
    assert f"<h2>{words} · running 2005-08-26 12 UTC</h2>" in part
    assert f'data-level="{level}"' in part
    assert f"<p>{BUSY}.</p>" in part


def test_values_stand_beside_the_soundings(client: httpx.Client) -> None:
    assert "80 of 90 soundings · 79 values used, 5 rejected" in client.get("/parts/now").text
    assert "80 of 90 soundings used · 79 values used, 5 rejected" in client.get("/parts/cycles").text


def test_every_reason_of_a_rejection_is_explained(client: httpx.Client) -> None:
    words = client.get("/").text.split("Why a value is rejected")[1]
    for code in set(Quality) - {Quality.ASSIMILATED, Quality.EVALUATED_ONLY}:
        assert f"<dt>{code.reason.replace('_', ' ')}</dt>" in words


def test_a_held_cycle_has_a_mark_that_needs_no_glyph(published: Config, client: httpx.Client) -> None:
    with Ledger.open(published.paths.state) as ledger:
        ledger.hold(ledger.add_cycle(TIME + timedelta(hours=12), Stream.DELAYED, DUE).id, True)
    part = client.get("/parts/cycles").text
    assert part.count('<i class="pause"></i>') == 2  # the cycle's and the legend's
    assert "⏸" not in part
    assert "held: an operator said not yet" in part


def test_days_carry_their_year_where_it_begins(published: Config, client: httpx.Client) -> None:
    with Ledger.open(published.paths.state) as ledger:
        for days in (0.5, 31, 365):  # 26 September has the same day of the month
            ledger.add_cycle(TIME + timedelta(days=days), Stream.DELAYED, DUE)
    part = client.get("/parts/cycles").text
    labels = [piece.split("</span>")[0] for piece in part.split('<span class="day">')[1:]]
    assert labels == ["2005<br>08-26", "", "09-26", "2006<br>08-26"]
