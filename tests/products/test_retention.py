"""Removing product folders: all that lie before a limit, each at once, nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from dacycle.cycler.products.folders import product_folder, published_times
from dacycle.cycler.products.retention import expired, remove


def lay(state: Path, times: list[datetime]) -> None:
    for time in times:
        folder = product_folder(state, time)
        (folder / "superseded" / "1").mkdir(parents=True)
        (folder / "analysis.nc").write_bytes(b"123")
        (folder / "superseded" / "1" / "analysis.nc").write_bytes(b"12")


def test_what_lies_before_the_limit_goes_with_the_folders_that_become_empty(tmp_path: Path) -> None:
    times = [datetime(2004, 12, 25, tzinfo=UTC) + timedelta(hours=12 * k) for k in range(0, 60, 3)]
    lay(tmp_path, times)
    condemned = expired(tmp_path, times[12])
    assert [each.time for each in condemned] == times[:12]
    assert {each.bytes for each in condemned} == {5}
    assert [time for time, _ in published_times(tmp_path)] == times, "the dry run removes nothing"
    remove(tmp_path, condemned)
    assert [time for time, _ in published_times(tmp_path)] == times[12:]
    empty = [path for path in (tmp_path / "products").rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert empty == []
    remove(tmp_path, [])


def test_what_is_not_a_cycle_is_left_alone(tmp_path: Path) -> None:
    lay(tmp_path, [datetime(2005, 1, 1, tzinfo=UTC)])
    for name in ("2005/13/01/00", "notes/01/01/00", "2005/01/01/.00.staging"):
        (tmp_path / "products" / name).mkdir(parents=True)
    condemned = expired(tmp_path, datetime(2030, 1, 1, tzinfo=UTC))
    assert [each.folder.relative_to(tmp_path).as_posix() for each in condemned] == ["products/2005/01/01/00"]
    remove(tmp_path, condemned)
    assert (tmp_path / "products" / "notes" / "01" / "01" / "00").is_dir()


def test_a_removal_that_died_is_completed(tmp_path: Path) -> None:
    time = datetime(2005, 1, 1, tzinfo=UTC)
    lay(tmp_path, [time])
    folder = product_folder(tmp_path, time)
    folder.rename(folder.with_name(".00.removed"))
    assert list(published_times(tmp_path)) == []
    remove(tmp_path, [])
    assert not (tmp_path / "products" / "2005").exists()
    assert (tmp_path / "products").is_dir()
