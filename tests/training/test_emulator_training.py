"""Training on a small world that can be learnt: waves carried by a constant wind."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dacycle.channels import DEFAULT_CHANNELS, channel
from dacycle.cycler.training.coarse import EmulatorData, split_tail
from dacycle.cycler.training.emulator import EmulatorSettings, train_emulator
from dacycle.cycler.training.emulator_command import add_arguments, run
from dacycle.cycler.training.emulator_loss import Losses, Targets
from dacycle.cycler.training.emulator_scores import score
from dacycle.cycler.training.emulator_worlds import World, draw, statistics_of
from dacycle.emulators.grid import gaussian_grid
from dacycle.emulators.lucie import Lucie, LucieArguments
from dacycle.errors import BundleError

GRID = gaussian_grid(8, 16)
CHANNELS = tuple(channel(name) for name in ("t850", "u850", "v850"))
SETTINGS = EmulatorSettings(LucieArguments(embed=8, layers=1), steps=60, batch=4, learning_rate=5e-3, average=0.9)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One torch thread, so that a busy machine does not make threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _world(count: int = 60) -> EmulatorData:
    """Waves that travel eastward in every channel and in the rain."""
    latitude, longitude = np.deg2rad(GRID.lat)[:, None], np.deg2rad(GRID.lon)
    step = np.arange(count)[:, None, None]
    envelope = np.cos(latitude) ** 2
    t = 280 + 5 * envelope * (np.cos(longitude - 0.3 * step) + np.cos(3 * longitude - 0.5 * step + 1))
    v = 4 * envelope * np.sin(longitude - 0.3 * step)
    u = 10 * np.cos(latitude) + 2 * envelope * np.cos(2 * longitude - 0.4 * step)
    rain = 1e-5 * (1 + np.cos(longitude - 0.3 * step)) * envelope
    start = datetime(2001, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=6 * k) for k in range(count)]
    statics = np.zeros(GRID.shape, np.float32), np.zeros(GRID.shape, np.float32)
    states = np.stack([t, u, v], 1).astype(np.float32)
    return EmulatorData(states, rain.astype(np.float32), times, [(0, count)], GRID, CHANNELS, *statics)


def _silent(text: str, fraction: float) -> None:
    assert 0 <= fraction <= 1.5


def test_statistics_are_those_of_the_data() -> None:
    data = _world()
    statistics = statistics_of(data)
    assert np.allclose(statistics.mean.numpy(), data.states.mean(0), rtol=1e-5)
    difference = np.diff(data.states[:, 0], axis=0)
    assert float(statistics.tendency_std[0]) == pytest.approx(float(np.sqrt(GRID.mean(difference**2).mean())), rel=1e-4)
    lucie = Lucie(CHANNELS, GRID, SETTINGS.network, statistics)
    z = lucie.standardise(torch.from_numpy(data.states))
    assert float(np.sqrt(GRID.mean(z[:, 2].numpy() ** 2).mean())) == pytest.approx(1.0, rel=1e-3)


def test_a_run_over_all_seasons_completes_a_short_one() -> None:
    days = [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(days=5 * k) for k in range(146)]
    cycle = np.array([10 * np.cos(2 * np.pi * (t - days[0]).days / 365.2425) for t in days], dtype=np.float32)
    world = _world(146)
    states = np.zeros_like(world.states) + cycle[:, None, None, None]
    year = replace(world, states=states, times=days)
    winter = replace(world, states=3 + states[:10], times=days[:10], segments=[(0, 10)])
    assert statistics_of(winter).mean.numpy() == pytest.approx(3 + cycle[:10].mean(), abs=1e-3)
    completed = statistics_of(winter, year=year)
    assert completed.mean.numpy() == pytest.approx(3.0, abs=0.1)
    assert completed.std.numpy() == pytest.approx(10 / np.sqrt(2), rel=0.02)


def test_training_beats_persistence_on_unseen_states(tmp_path: Path) -> None:
    train, validation = split_tail(_world(100), days=7, gap_days=0)
    scores = train_emulator(
        [train], replace(SETTINGS, steps=200, learning_rate=1e-2), tmp_path, _silent, validation=validation
    )
    assert scores is not None
    assert scores.skill(6) < 0.5
    assert scores.emulator[0, 0] < 0.5 * scores.persistence[0, 0]
    card = json.loads((tmp_path / "emulator.json").read_text())
    assert card["architecture"] == "lucie"
    assert card["arguments"]["embed"] == 8
    assert card["scores"]["12 h"]["t850"]["rmse"] == pytest.approx(scores.emulator[1, 0])
    assert "t850" in scores.table()


def test_resuming_gives_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    train_emulator([_world()], SETTINGS, tmp_path / "whole", _silent)
    answers = iter([False] * 37 + [True])
    stopped = train_emulator([_world()], SETTINGS, tmp_path / "parts", _silent, stop=lambda: next(answers))
    assert stopped is None
    assert not (tmp_path / "parts" / "emulator.safetensors").exists()
    train_emulator([_world()], SETTINGS, tmp_path / "parts", _silent)
    whole, parts = (load_file(tmp_path / name / "emulator.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_second_world_and_an_initial_network_are_accepted(tmp_path: Path) -> None:
    short = replace(SETTINGS, steps=8)
    train_emulator([_world(), _world(40)], short, tmp_path / "first", _silent)
    initial = tmp_path / "first" / "emulator.safetensors"
    train_emulator([_world(50)], replace(short, learning_rate=0.0), tmp_path / "second", _silent, initial=initial)
    seeing = replace(short, learning_rate=0.0, network=replace(short.network, gradients=True, slopes=2))
    train_emulator([_world(50)], seeing, tmp_path / "seeing", _silent, initial=initial)
    first, second = (load_file(tmp_path / name / "emulator.safetensors") for name in ("second", "seeing"))
    more = second["network.encoder.0.weight"].shape[1] - first["network.encoder.0.weight"].shape[1]
    assert more == 2 * len(CHANNELS) + 2
    for name in ("network.encoder.0.weight", "network.decoder.0.weight"):
        torch.testing.assert_close(second[name][:, :-more], first[name], rtol=0, atol=0)
        assert not second[name][:, -more:].any()
    first, second = (load_file(tmp_path / name / "emulator.safetensors") for name in ("first", "second"))
    assert torch.allclose(first["network.encoder.0.weight"], second["network.encoder.0.weight"])
    assert not torch.equal(first["mean"], second["mean"])
    wider = replace(short, network=LucieArguments(embed=10, layers=1))
    with pytest.raises(BundleError, match="size mismatch"):
        train_emulator([_world()], wider, tmp_path / "third", _silent, initial=initial)


def test_batches_visit_every_start_once_before_any_again() -> None:
    world = World(_world(34), SETTINGS.network, longest_rollout=2)
    seen = np.concatenate([draw([world], None, 3, step, 4)[1] for step in range(16)])
    assert sorted(seen[:32]) == list(range(32)) == sorted(seen[32:])
    assert not np.array_equal(seen[:32], seen[32:])
    other = World(_world(34), SETTINGS.network, longest_rollout=2)
    own = [draw([world, other], 0.25, 0, step, 1)[0] is world for step in range(400)]
    assert np.mean(own) == pytest.approx(0.25, abs=0.08)


def test_the_clock_may_set_the_end(tmp_path: Path) -> None:
    train_emulator([_world()], replace(SETTINGS, seconds=0.5), tmp_path, _silent)
    training = json.loads((tmp_path / "emulator.json").read_text())["training"]
    assert training["steps"] >= 1
    assert training["seconds"] <= 5


def test_loss_of_persistence_is_one_per_step() -> None:
    data = _world()
    lucie = Lucie(CHANNELS, GRID, SETTINGS.network, statistics_of(data))
    lucie.network.forecast_persistence()
    z = lucie.standardise(torch.from_numpy(data.states))
    index = torch.arange(3)[:, None] + torch.tensor([0, 9])
    targets = Targets(z[index], torch.zeros(2, 2, *GRID.shape), torch.zeros(2, 2, *GRID.shape))
    losses = Losses(GRID, regulariser=0.05)
    assert losses.rollout(lucie, targets, spectral=False).item() == pytest.approx(1.0, rel=1e-5)
    assert losses.rollout(lucie, targets, spectral=True).item() > 1.001


def test_schedule() -> None:
    settings = EmulatorSettings(rollouts=((0.0, 1), (0.5, 2), (0.9, 4)), final_rate=0.1)
    assert [settings.rollout(done) for done in (0.0, 0.49, 0.5, 0.95)] == [1, 1, 2, 4]
    rates = [settings.pace(done) for done in (0.0, 0.05, 0.5, 1.0)]
    assert rates[1] == pytest.approx(1.0)
    assert rates[0] < 0.01
    assert rates[1] > rates[2] > rates[3] == pytest.approx(0.1)


def test_scores_of_an_emulator_that_persists() -> None:
    data = _world()
    lucie = Lucie(CHANNELS, GRID, SETTINGS.network, statistics_of(data))
    lucie.network.forecast_persistence()
    scores = score(lucie, data)
    assert np.allclose(scores.emulator, scores.persistence, rtol=1e-3, atol=1e-4)
    assert np.allclose(scores.climatology[[0, 2]], lucie.std.flatten()[[0, 2]], rtol=0.1)


def test_command_needs_data_and_a_folder() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(["--data", "a.nc", "b.nc", "--out", "folder", "--seconds", "30"])
    assert args.data == ["a.nc", "b.nc"]
    assert args.seconds == 30.0


def _write_noise(path: Path, days: int) -> None:
    generator = np.random.default_rng(5)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 4 * days), ("lat", 8), ("lon", 16)):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = 6 * np.arange(4 * days)
        file["time"].units = "hours since 2001-02-03 00:00:00"
        file.createVariable("lat", "f8", ("lat",))[:] = GRID.lat
        for name in [c.netcdf_name for c in DEFAULT_CHANNELS] + ["tp"]:
            file.createVariable(name, "f4", ("time", "lat", "lon"))[:] = generator.random((4 * days, 8, 16))
        for name in ("orography", "land"):
            file.createVariable(name, "f4", ("lat", "lon"))[:] = generator.random((8, 16))


def test_command_trains_and_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_noise(tmp_path / "run.nc", days=20)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = [
        "--data",
        str(tmp_path / "run.nc"),
        "--extra",
        str(tmp_path / "run.nc"),
        "--out",
        str(tmp_path / "out"),
    ]
    small = ["--attractor", "--of-degrees", "0.3", "--noise", "0.2", "--select-days", "2", "--validations", "2"]
    small += ["--grid", "8", "16", "--steps", "3", "--embed", "4", "--layers", "1", "--validation-days", "3"]
    assert run(parser.parse_args([*arguments, *small, "--own-share", "0.5", "--season-from-extra"])) == 0
    printed = capsys.readouterr().out
    assert "climatology" in printed
    assert "z250" in printed
    assert (tmp_path / "out" / "emulator.safetensors").is_file()
