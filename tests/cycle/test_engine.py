"""One cycle after the other: real soundings as text, the real networks on a tiny grid, real files."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import eccodes
import netCDF4
import numpy as np
import pytest

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.early import run_early
from dacycle.cycler.cycle.engine import Engine, open_engine, run_cycle
from dacycle.cycler.cycle.progress import Progress, Stopped
from dacycle.cycler.cycle.records import format_time
from dacycle.cycler.cycle.report import status_json
from dacycle.cycler.cycle.states import Stage, State, Stream
from dacycle.cycler.cycle.status_text import status_lines
from dacycle.cycler.cycle.task import ANALYSIS_EQUIVALENTS, INITIAL, OBSERVATIONS
from dacycle.cycler.cycle.workspace import Kept
from dacycle.cycler.products.manifest import read_manifest, verify
from dacycle.cycler.products.observations import read_observations
from dacycle.emulators.grid import gaussian_grid
from dacycle.errors import BundleError, ConfigError, DacycleError, StateError
from dacycle.obs.batch import Quality
from tests.cycle.outcomes import outcome
from tests.cycle.small_world import START, config, hours, soundings

NOW = datetime(2021, 3, 20, tzinfo=UTC)
Make = Callable[..., Config]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soundings of two analysis times; then none."""
    return soundings(tmp_path_factory.mktemp("source"), [hours(0), hours(12)])


@pytest.fixture
def make(tmp_path: Path, source: Path, tiny_bundle_path: Path) -> Make:
    def made(**changes: dict[str, Any]) -> Config:
        return config(tmp_path, source, tiny_bundle_path, **changes)

    return made


def files(chosen: Config, name: str) -> dict[str, bytes]:
    """Products of a cycle without the manifest, whose runtime section the clock writes."""
    folder = chosen.paths.state / "products" / name
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.*")) if path.name != "manifest.json"}


class Recorder:
    """An observer that remembers, and that can end the work at a point."""

    def __init__(self, stop: Callable[[Progress], bool] = lambda progress: False) -> None:
        self.seen: list[Progress] = []
        self.stop = stop

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)
        if self.stop(progress):
            raise Stopped

    def stages(self) -> list[str]:
        return [progress.stage for progress in self.seen if progress.point == "stage_begin"]

    def chunks(self) -> list[str]:
        return [p.detail for p in self.seen if p.point == "renamed" and p.detail.startswith("chunk")]


@contextmanager
def interrupted() -> Iterator[None]:
    with pytest.raises(Stopped):
        yield


def test_first_cycle_is_drawn_from_soundings_alone(make: Make) -> None:
    chosen = make(products={"formats": ["grib2", "netcdf"]})
    record = run_cycle(chosen, START, NOW)
    assert (record.state, record.background) == (State.PUBLISHED, "none")
    assert (record.soundings_received, record.soundings_used, record.soundings_withheld) == (25, 25, 0)
    folder = chosen.paths.state / "products/2021/03/01/00"
    expected = {"analysis.nc", "observations.nc", "manifest.json"}
    expected |= {f"analysis_{kind}.grib2" for kind in ("members", "mean", "spread")}
    assert {path.name for path in folder.iterdir()} == expected
    assert verify(folder) == ()
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest.background, manifest.members, manifest.chunk, manifest.threads) == ("none", 4, 2, 1)
    assert any(name.endswith("-data-beg2021.txt.zip") for name in manifest.inputs)
    assert set(manifest.runtime["seconds"]) == {"ingest", "forecast", "assimilate", "reinitialise"}  # type: ignore[arg-type]


def test_products_say_who_issues_them(make: Make) -> None:
    issuer = {
        "institution": "Weather Service of Utopia",
        "licence": "CC-BY-4.0",
        "email": "da@utopia.int",
        "centre": 98,
    }
    chosen = make(products={"formats": ["grib2", "netcdf"]}, issuer=issuer)
    assert run_cycle(chosen, START, NOW).state == State.PUBLISHED
    folder = chosen.paths.state / "products/2021/03/01/00"
    for name in ("analysis.nc", "observations.nc"):
        with netCDF4.Dataset(folder / name) as file:
            assert (file.institution, file.license, file.creator_email) == tuple(issuer.values())[:3]
            assert (file.publisher_name, file.creator_url) == ("Weather Service of Utopia", "not stated")
    with (folder / "analysis_mean.grib2").open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
        assert eccodes.codes_get(handle, "centre") == "ecmf"
        eccodes.codes_release(handle)


def test_second_cycle_starts_from_the_first_and_fits_the_soundings(make: Make) -> None:
    chosen = make(assimilation={"steps": 4})
    with open_engine(chosen, NOW) as engine:
        first, second = engine.run(hours(0), NOW), engine.run(hours(12), NOW)
        statistics = engine.ledger.statistics(second.id)
    assert (second.state, second.background, second.base) == (State.PUBLISHED, "forecast", first.id)
    assert statistics.omb.keys() == statistics.oma.keys() == statistics.spread_skill.keys()
    assert all(np.isfinite(ratio) for ratio in statistics.spread_skill.values())
    for name in ("t850", "z850", "t500", "z500"):
        assert statistics.oma[name].rms < statistics.omb[name].rms, name
    table = read_observations(chosen.paths.state / "products/2021/03/01/12/observations.nc")
    used = (table.batch.quality == Quality.ASSIMILATED) & (table.batch.channel == "t850")
    departure = table.batch.value[used] - table.background_mean[used]
    assert statistics.omb["t850"].n == used.sum()
    assert statistics.omb["t850"].rms == pytest.approx(np.sqrt((departure**2).mean()), rel=1e-5)
    assert statistics.omb["t850"].bias == pytest.approx(departure.mean(), rel=1e-4, abs=1e-4)


def test_without_soundings_the_forecast_goes_on(make: Make) -> None:
    chosen = make()
    with open_engine(chosen, NOW) as engine:
        records = [engine.run(hours(h), NOW) for h in (0, 12, 24, 36)]
        initial = [Kept(engine.state, engine.ledger, r).array(INITIAL) for r in records]
    assert [r.state for r in records[2:]] == [State.PUBLISHED_FREE_FORECAST] * 2
    assert [r.background for r in records[2:]] == ["forecast"] * 2
    # The tiny bundle's emulator is persistence: the mean stays, but for humidity cut at zero, and the spread grows.
    chosen_channels = [k for k, c in enumerate(engine.bundle.channels) if c.variable != "q"]
    means = [states.mean(0)[chosen_channels] for states in initial]
    np.testing.assert_allclose(means[3], means[1], rtol=1e-3, atol=0.05)
    spreads = [states.std(0)[chosen_channels].mean((1, 2)) for states in initial]
    assert (spreads[2] >= spreads[1] * 0.999).all()
    assert (spreads[3] > spreads[2]).all()
    assert set(files(chosen, "2021/03/02/12")) == {"forecast.nc"}
    with netCDF4.Dataset(chosen.paths.state / "products/2021/03/02/12/forecast.nc") as file:
        assert float(file["forecast_period"][0]) == 24.0  # since the last analysis, not since the last cycle


def test_first_cycle_without_soundings_waits_and_says_why(make: Make) -> None:
    chosen = make()
    record = run_cycle(chosen, hours(240), NOW)
    assert record.state == State.WAITING_OBS
    assert record.reason.startswith("no soundings within 3 hours of 2021-03-11T00 UTC in ")
    assert not (chosen.paths.state / "products").exists()


def test_waiting_cycle_runs_when_its_soundings_have_come(make: Make, tmp_path: Path) -> None:
    source = soundings(tmp_path / "archive", [hours(0)])
    chosen = make(source={"location": str(source)})
    assert run_cycle(chosen, hours(12), NOW).state == State.WAITING_OBS
    soundings(source, [hours(0), hours(12)])
    assert run_cycle(chosen, hours(12), NOW).state == State.PUBLISHED


def test_withheld_stations_are_only_evaluated(make: Make) -> None:
    chosen = make(assimilation={"withhold_folds": 3, "withhold_fold": 1})
    record = run_cycle(chosen, START, NOW)
    assert record.soundings_withheld > 0
    assert record.soundings_used + record.soundings_withheld == 25
    batch = read_observations(chosen.paths.state / "products/2021/03/01/00/observations.nc").batch
    withheld = set(batch.station[batch.quality == Quality.EVALUATED_ONLY])
    assert withheld
    assert not withheld & set(batch.station[batch.quality == Quality.ASSIMILATED])


def test_published_cycle_is_left_as_it_is(make: Make) -> None:
    chosen = make()
    run_cycle(chosen, START, NOW)
    before, watch = files(chosen, "2021/03/01/00"), Recorder()
    run_cycle(chosen, START, NOW, watch)
    assert watch.seen == []
    assert files(chosen, "2021/03/01/00") == before


def test_two_runs_give_the_same_bytes_and_another_seed_others(make: Make, tmp_path: Path) -> None:
    runs = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        chosen = make(paths={"state": tmp_path / name}, ensemble={"seed": seed})
        run_cycle(chosen, START, NOW)
        with netCDF4.Dataset(chosen.paths.state / "products/2021/03/01/00/analysis.nc") as file:
            runs[name] = files(chosen, "2021/03/01/00"), np.asarray(file["t850"][:])
    assert runs["a"][0] == runs["b"][0]
    assert not np.array_equal(runs["a"][1], runs["c"][1])
    assert len({member.tobytes() for member in runs["a"][1]}) == 4


def test_interrupted_assimilation_keeps_the_chunks_already_drawn(make: Make, tmp_path: Path) -> None:
    undisturbed = make(paths={"state": tmp_path / "undisturbed"})
    run_cycle(undisturbed, START, NOW)
    chosen, watch = make(), Recorder(lambda p: p.point == "step" and p.done == 3)
    with interrupted():
        run_cycle(chosen, START, NOW, watch)
    assert watch.chunks() == ["chunk-001-002.npy"]
    again = Recorder()
    record = run_cycle(chosen, START, NOW, again)
    assert again.stages() == ["assimilate", "reinitialise", "publish"]
    assert again.chunks() == ["chunk-003-004.npy"]
    assert (record.state, record.attempts, record.reason) == (State.PUBLISHED, 2, "")
    assert files(chosen, "2021/03/01/00") == files(undisturbed, "2021/03/01/00")


def test_interrupted_cycle_begins_anew_under_other_settings(make: Make) -> None:
    with interrupted():
        run_cycle(make(), START, NOW, Recorder(lambda p: p.point == "chunk"))
    watch = Recorder()
    run_cycle(make(ensemble={"seed": 7}), START, NOW, watch)
    assert watch.stages() == [str(stage) for stage in Stage]
    assert watch.chunks() == ["chunk-001-002.npy", "chunk-003-004.npy"]


@pytest.mark.parametrize("name", ["observations.npz", "chunk-001-002.npy"])
def test_damaged_artefact_is_made_again(make: Make, tmp_path: Path, name: str) -> None:
    undisturbed = make(paths={"state": tmp_path / "undisturbed"})
    run_cycle(undisturbed, START, NOW)
    chosen = make()
    with interrupted():
        run_cycle(chosen, START, NOW, Recorder(lambda p: p.point == "stage_begin" and p.stage == "reinitialise"))
    path = chosen.paths.state / "work/2021-03-01T00-delayed-1" / name
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    watch = Recorder()
    run_cycle(chosen, START, NOW, watch)
    assert "assimilate" in watch.stages()
    assert outcome(chosen) == outcome(undisturbed)


def test_initial_states_that_cannot_be_made_anew_are_told_and_not_ignored(make: Make) -> None:
    chosen = make()
    run_cycle(chosen, START, NOW)
    for name in (INITIAL, OBSERVATIONS):
        path = chosen.paths.state / "work/2021-03-01T00-delayed-1" / name
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        StateError, match=r"initial\.npy, where the cycle after 2021-03-01T00 delayed starts, is damaged"
    ):
        run_cycle(chosen, hours(12), NOW)


def test_members_on_the_analysis_grid_go_once_they_are_published(make: Make) -> None:
    chosen = make()
    with open_engine(chosen, NOW) as engine:
        record = engine.run(START, NOW)
        kept = engine.ledger.artefacts(record.id)
    folder = chosen.paths.state / "work/2021-03-01T00-delayed-1"
    expected = {"inputs.json", "observations.npz", "checked.npz", "equivalents.npz", "initial.npy"}
    assert {path.name for path in folder.iterdir()} == expected
    assert set(kept) == expected | {"analysis.nc", "observations.nc"}
    (folder / "chunk-001-002.npy").write_bytes(b"")  # killed after the ledger forgot it and before it went
    with open_engine(chosen, NOW):
        assert {path.name for path in folder.iterdir()} == expected


def test_another_ensemble_size_does_not_end_the_cycle(make: Make) -> None:
    run_cycle(make(), START, NOW)
    record = run_cycle(make(ensemble={"members": 5}), hours(12), NOW)
    assert (record.state, record.background) == (State.PUBLISHED, "forecast")


def test_time_off_the_grid_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match="2021-03-01T06:00 is no analysis time: expected one every 12 hours"):
        run_cycle(make(), hours(6), NOW)


def test_a_failing_stage_fails_the_cycle_with_a_reason(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = make()

    def refuse(*_: object, **__: object) -> None:
        raise DacycleError("no magic here")

    with monkeypatch.context() as patched:
        patched.setattr("dacycle.cycler.assimilation.analysis.Analyst.draw", refuse)
        with pytest.raises(DacycleError, match="magic"):
            run_cycle(chosen, START, NOW)
    with open_engine(chosen, NOW) as engine:
        record = engine.ledger.cycle(START, Stream.DELAYED)
        assert record is not None
        assert (record.state, record.failed_attempts) == (State.FAILED, 1)
        assert "magic" in record.reason
        assert engine.ledger.events()[0].level == "error"
    assert run_cycle(make(), START, NOW).state == State.PUBLISHED


def test_source_that_breaks_lets_the_cycle_wait(make: Make, tmp_path: Path) -> None:
    source = soundings(tmp_path / "archive", [hours(0)])
    chosen = make(source={"location": str(source)})
    with open_engine(chosen, NOW) as engine:
        broken = replace(engine, source=_Broken())
        with pytest.raises(DacycleError, match="gone"):
            broken.run(START, NOW)
        record = engine.ledger.cycle(START, Stream.DELAYED)
        assert record is not None
        assert (record.state, record.reason) == (State.WAITING_OBS, "the archive is gone")
        assert engine.run(START, NOW).state == State.PUBLISHED
        assert broken.run(hours(12), NOW, without_source=True).state == State.PUBLISHED_FREE_FORECAST


class _Broken:
    """A source that cannot be read."""

    def refresh(self, time: datetime | None = None) -> Any:
        from dacycle.errors import SourceError

        raise SourceError("the archive is gone")

    fetch = newest = refresh


@pytest.fixture
def engine(make: Make) -> Iterator[Engine]:
    with open_engine(make(), NOW) as opened:
        yield opened


def test_early_stream_reaches_the_present_and_feeds_nothing(engine: Engine) -> None:
    delayed = engine.run(hours(0), NOW)
    early = run_early(engine, hours(24), NOW)
    assert [(r.time, r.stream, r.state) for r in early] == [
        (hours(12), Stream.EARLY, State.PUBLISHED),
        (hours(24), Stream.EARLY, State.PUBLISHED_FREE_FORECAST),
    ]
    assert (early[0].base, early[1].base) == (delayed.id, early[0].id)
    products = engine.state / "products/2021/03"
    assert (products / "01/12/early/analysis.nc").is_file()
    assert (products / "02/00/early/forecast.nc").is_file()
    second = engine.run(hours(12), NOW)
    assert second.base == delayed.id
    assert (products / "01/12/analysis.nc").is_file()
    assert (products / "01/12/early/analysis.nc").is_file()


def test_early_cycle_is_replaced_only_when_something_changed(make: Make, tmp_path: Path) -> None:
    source = soundings(tmp_path / "archive", [hours(0)])
    with open_engine(make(source={"location": str(source)}), NOW) as engine:
        engine.run(hours(0), NOW)
        first = run_early(engine, hours(12), NOW)
        assert run_early(engine, hours(12), NOW) == first
        soundings(source, [hours(0), hours(12)])
        again = run_early(engine, hours(12), NOW)
        assert [r.state for r in again] == [State.PUBLISHED]
        assert again[0].version == 2
        known = engine.ledger.cycles(Stream.EARLY, superseded=True)
        assert [(r.version, r.state) for r in known] == [(1, State.SUPERSEDED), (2, State.PUBLISHED)]
        assert not (engine.state / "work/2021-03-01T12-early-1").exists()


def test_early_stream_needs_a_delayed_analysis(engine: Engine) -> None:
    with pytest.raises(StateError, match="no delayed analysis before 2021-03-02T00"):
        run_early(engine, hours(24), NOW)


def test_status_has_what_the_contract_names(engine: Engine) -> None:
    engine.run(hours(0), NOW)
    engine.run(hours(12), NOW)
    engine.look(NOW)
    told = status_json(engine.ledger, engine.config, NOW)
    assert [c["time"] for c in told["cycles"]] == ["2021-03-01T00:00:00Z", "2021-03-01T12:00:00Z"]
    assert told["next_due"] == format_time(hours(24 + 72))
    assert told["source_age_seconds"] == (NOW - hours(12)).total_seconds()
    last = told["cycles"][1]
    assert (last["stream"], last["state"], last["background"]) == ("delayed", "published", "forecast")
    assert set(last["stages"]) == {str(stage) for stage in Stage}
    assert last["soundings"] == {"received": 25, "used": 25, "withheld": 0}
    batch = read_observations(engine.state / "products/2021/03/01/12/observations.nc").batch
    assert last["values"]["used"] + sum(last["values"]["rejected"].values()) == len(batch)
    assert set(last["omb"]["t850"]) == {"n", "bias", "rms"}
    assert set(last["spread_skill"]) == set(last["omb"])
    lines = status_lines(engine.ledger, engine.config, NOW)
    assert any(line.startswith("2021-03-01T12  delayed  published") for line in lines)


def test_recovery_names_what_was_interrupted(make: Make) -> None:
    chosen = make()
    with open_engine(chosen, NOW) as engine:
        record = engine.ledger.add_cycle(START, Stream.DELAYED, NOW)
        engine.ledger.move(record.id, State.INGESTING, NOW)
    with open_engine(chosen, NOW) as engine:
        found = engine.ledger.by_id(record.id)
        assert (found.state, found.reason) == (State.PENDING, "interrupted")
        assert "was interrupted while ingesting" in engine.ledger.events()[0].text


def test_equivalents_are_those_of_the_published_members(make: Make) -> None:
    chosen = make()
    with open_engine(chosen, NOW) as engine:
        record = engine.run(START, NOW)
        kept = Kept(engine.state, engine.ledger, record)
        equivalents = kept.arrays(ANALYSIS_EQUIVALENTS)
    table = read_observations(chosen.paths.state / "products/2021/03/01/00/observations.nc")
    np.testing.assert_allclose(equivalents["analysis"].mean(0), table.analysis_mean, rtol=1e-5, atol=1e-6)
    assert np.isnan(table.background_mean).all()
    shutil.rmtree(chosen.paths.state)


def test_bundle_of_another_grid_is_told_where_the_cycle_would_go_on(make: Make) -> None:
    chosen = make()
    run_cycle(chosen, START, NOW)
    with open_engine(chosen, NOW) as engine:
        engine.bundle = replace(engine.bundle, coarse=gaussian_grid(16, 32))
        with pytest.raises(BundleError, match=r"shape \(17, 8, 16\), bundle tiny expects \(17, 16, 32\): go back"):
            engine.run(hours(12), NOW)
