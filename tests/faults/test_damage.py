"""Flipped bytes in what was written: told, made again, the same in the end; and the way back from a damaged ledger."""

from pathlib import Path

import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.engine import open_engine
from dacycle.cycler.cycle.history import LEDGER_NAME
from dacycle.cycler.cycle.repair import damage, repair
from dacycle.cycler.cycle.states import State
from dacycle.cycler.service.doctor import examine
from dacycle.cycler.service.worker import Worker
from dacycle.errors import StateError
from tests.cycle.outcomes import outcome
from tests.cycle.small_world import START, config, hours, soundings, toml
from tests.service.worlds import Clock, delayed, texts

CYCLE = {"first": START, "cutoff_hours": 12, "cutoff_max_hours": 48, "early_stream": False}
TIMES = [hours(0), hours(12), hours(24)]
DONE = {0: State.PUBLISHED, 12: State.PUBLISHED, 24: State.PUBLISHED}


@pytest.fixture
def chosen(tmp_path: Path, tiny_bundle_path: Path) -> Config:
    return config(tmp_path, soundings(tmp_path / "archive", TIMES), tiny_bundle_path, cycle=CYCLE)


@pytest.fixture
def undisturbed(tmp_path: Path, chosen: Config, tiny_bundle_path: Path) -> dict[str, object]:
    other = config(tmp_path / "undisturbed", Path(chosen.source.location), tiny_bundle_path, cycle=CYCLE)
    work(other, 40)
    return outcome(other)


def work(chosen: Config, hour: int) -> list[str]:
    """The daemon's work at that hour; the log."""
    with open_engine(chosen, hours(hour)) as engine:
        Worker(engine, Clock(hours(hour))).work()
        if hour == 40:
            assert delayed(engine) == DONE
        return texts(engine)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def test_damaged_initial_states_of_a_published_cycle_are_made_anew(
    chosen: Config, undisturbed: dict[str, object]
) -> None:
    work(chosen, 26)
    flip(chosen.paths.state / "work/2021-03-01T12-delayed-1/initial.npy", 1000)
    told = work(chosen, 40)
    assert any(t.split(": ", 1)[1] == "its initial states were damaged; they were made anew" for t in told if ": " in t)
    assert outcome(chosen) == undisturbed


def test_what_they_were_made_of_being_damaged_too_is_told_with_what_helps(chosen: Config) -> None:
    work(chosen, 26)
    for name in ("initial.npy", "observations.npz"):
        flip(chosen.paths.state / "work/2021-03-01T12-delayed-1" / name, 500)
    told = pytest.raises(StateError, match=r"is damaged or gone; `dacycle rerun 2021-03-01T12` makes it anew")
    with open_engine(chosen, hours(40)) as engine, told:
        engine.run(hours(24), hours(40))


def test_damaged_ledger_is_told_and_repaired_and_ends_as_if_nothing_had_been(
    chosen: Config, undisturbed: dict[str, object], tmp_path: Path
) -> None:
    work(chosen, 26)  # two cycles; the first waking keeps a copy
    with open_engine(chosen, hours(26)) as engine:
        engine.run(hours(24), hours(38))
    path = chosen.paths.state / LEDGER_NAME
    assert damage(path) is None
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096, 2):
        content[page * 4096 : page * 4096 + 64] = b"\x5a" * 64
    path.write_bytes(content)
    assert damage(path) is not None
    with pytest.raises(StateError, match=r"ledger .* is damaged: .*; stop dacycle, then `dacycle repair` goes back to"):
        work(chosen, 40)
    found = {f.subject: f for f in examine(toml(tmp_path / "dacycle.toml", chosen), hours(40))}
    assert not found["state"].right
    assert "dacycle repair" in found["state"].text
    told = list(repair(chosen, hours(40)))
    assert any("takes its place" in line for line in told)
    assert (chosen.paths.state / "ledger.damaged-20210302T160000Z.sqlite").is_file()
    assert list(repair(chosen, hours(40))) == [f"{path} is whole: nothing to repair"]
    work(chosen, 40)
    assert outcome(chosen) == undisturbed


def test_without_a_copy_the_ledger_begins_anew_and_the_products_stay(chosen: Config) -> None:
    work(chosen, 26)
    (chosen.paths.state / "ledger.backup.sqlite").unlink()
    (chosen.paths.state / LEDGER_NAME).write_bytes(b"no database at all" * 1000)
    products = outcome_of_products(chosen)
    assert any("no good copy" in line for line in repair(chosen, hours(40)))
    assert outcome_of_products(chosen) == products
    work(chosen, 40)


def outcome_of_products(chosen: Config) -> list[bytes]:
    return [p.read_bytes() for p in sorted((chosen.paths.state / "products").rglob("*.nc"))]
