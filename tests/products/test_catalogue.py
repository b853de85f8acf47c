"""The catalogue says what lies on disk, knows what was replaced and what went, and answers at once."""

import json
import time as clock
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.ledger import Ledger
from dacycle.cycler.main import main
from dacycle.cycler.products.catalogue import Entry, lying
from dacycle.cycler.products.folders import product_folder
from dacycle.cycler.products.publish import publish
from tests.products.samples import TIME, small

FILES = {f"analysis_{kind}.grib2": 10**6 for kind in ("members", "mean", "spread")} | {"analysis.nc": 2 * 10**6}


def entry(time: datetime, stream: str = "delayed", revision: int = 1, status: str = "valid") -> Entry:
    folder = product_folder(Path(), time, stream).as_posix()
    made = ("analysis", folder, FILES, 8, "forecast", "sda", "default", "simulated")
    return Entry(time, stream, revision, status, *made)  # type: ignore[arg-type]


def enter(ledger: Ledger, state: Path, stream: str = "delayed") -> None:
    from dacycle.cycler.cycle.states import Stream

    ledger.enter_products(TIME, Stream(stream), lying(state, TIME, stream))


def test_versions_are_kept_marked_and_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open(tmp_path) as ledger:
        for seed in range(3):
            publish(product_folder(tmp_path, TIME), small(seed))
            enter(ledger, tmp_path)
        publish(product_folder(tmp_path, TIME, "early"), small(stream="early"))
        enter(ledger, tmp_path, "early")
        versions = ledger.products(stream=None, statuses=("valid", "superseded"))
        told = [(e.stream, e.revision, e.status, e.folder) for e in versions]
        home = "products/2005/08/26/00"
        assert told == [
            ("delayed", 1, "superseded", f"{home}/superseded/1"),
            ("delayed", 2, "superseded", f"{home}/superseded/2"),
            ("delayed", 3, "valid", home),
            ("early", 1, "valid", f"{home}/early"),
        ]
        for each in versions:
            folder = tmp_path / each.folder
            assert each.files == {name: (folder / name).stat().st_size for name in each.files}
            assert (each.kind, each.bundle, each.world) == ("analysis", "tiny", "simulated")
        publish(product_folder(tmp_path, TIME, "early"), small(1, stream="early"), keep_superseded=False)
        enter(ledger, tmp_path, "early")
        early = ledger.products(stream="early", statuses=("valid", "superseded", "removed"))
        assert [(e.revision, e.status) for e in early] == [(1, "removed"), (2, "valid")]
    file = tmp_path / "dacycle.toml"
    file.write_text(f'[paths]\nstate = "{tmp_path}"\n')
    assert main(["catalogue", "find", "2005-08-26T00", "--config", str(file)]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    assert {path.name for path in paths} >= {"analysis.nc", "observations.nc", "manifest.json"}
    assert all(path.parent == tmp_path / home and path.is_file() for path in paths)
    assert main(["catalogue", "find", "2005-08-26T00", "--revision", "1", "--config", str(file)]) == 0
    assert "superseded/1/analysis.nc" in capsys.readouterr().out
    assert main(["catalogue", "list", "--all", "--json", "--config", str(file)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(e["stream"], e["revision"], e["status"]) for e in listed][-2:] == [
        ("early", 1, "removed"),
        ("early", 2, "valid"),
    ]
    assert main(["catalogue", "list", "--config", str(file)]) == 0
    assert [line.split()[:4] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["2005-08-26T00", "delayed", "3", "valid"],
        ["2005-08-26T00", "early", "2", "valid"],
    ]
    assert main(["catalogue", "find", "2005-08-26T12", "--config", str(file)]) == 1
    told = "no such products of 2005-08-26T12 delayed; the nearest that it has: 2005-08-26T00"
    assert told in capsys.readouterr().err
    assert main(["catalogue", "check", "--config", str(file)]) == 0
    (tmp_path / home / "analysis.nc").write_bytes(b"other")
    assert main(["catalogue", "check", "--config", str(file)]) == 1
    assert "analysis.nc: expected" in capsys.readouterr().out


def test_a_year_is_listed_and_searched_at_once(tmp_path: Path) -> None:
    start = datetime(2021, 1, 1, tzinfo=UTC)
    from dacycle.cycler.cycle.states import Stream

    with Ledger.open(tmp_path) as ledger:
        ledger._connection.execute("PRAGMA synchronous = OFF")
        for k in range(730):
            time = start + k * timedelta(hours=12)
            rows = [entry(time, revision=1, status="superseded"), entry(time, revision=2)]
            ledger.enter_products(time, Stream.DELAYED, rows)
            ledger.enter_products(time, Stream.EARLY, [entry(time, "early")])
    with History.read(tmp_path) as history:
        began = clock.perf_counter()
        listed = history.products()
        whole = clock.perf_counter() - began
        assert len(listed) == 2 * 730
        assert [e.time for e in listed] == sorted(e.time for e in listed)
        wanted = start + timedelta(days=200)
        began = clock.perf_counter()
        found = history.products(wanted, wanted, "delayed")
        one = clock.perf_counter() - began
    assert [(e.time, e.revision) for e in found] == [(wanted, 2)]
    assert whole < 0.2
    assert one < 0.2
