"""Fields of other models as observations: exact in the Gaussian case, and real files through the real cycle."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.model_term import ModelField, combined
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import ModelObservation
from dacycle.cycler.cycle.engine import run_cycle
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.model_observations import model_fields, weighed
from dacycle.cycler.cycle.states import State
from tests.assimilation.test_closed_form import CHANNELS, DEGREES, dense_posterior, make_observations, make_prior
from tests.cycle.small_world import START, config, soundings
from tests.obs.batches import at_places

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize("forecast", [False, True])
def test_soundings_forecast_and_two_models_together_are_the_exact_posterior(forecast: bool) -> None:
    """Against dense algebra with the fields' coefficients as rows of their own; one model has two channels of three."""
    prior = make_prior()
    observations = make_observations(prior, forecast)
    error, degrees = 0.4 * prior.covariance[:7], 7
    drawn = prior.sample(2, torch.Generator().manual_seed(11))[1]
    models = [ModelField("a", (0, 2), drawn[0, [0, 2]].numpy(), 0.5), ModelField("b", (0, 1, 2), drawn[1].numpy(), 2.0)]
    placed = [(m, torch.as_tensor(m.values)) for m in models]
    together = Observations(
        observations.points, observations.innovation, combined(prior, observations.forecast, placed, error)
    )
    system = Conditioner(prior, prior.covariance, prior.rest, together)
    assert together.forecast is not None
    found = system.solve((together.innovation[None], together.forecast.values[None]), tolerance=None).increment
    # The fields one after the other, by Gaussian conditioning of the dense posterior.
    before = dense_posterior(prior, observations)
    mean, covariance = before.mean, before.covariance
    count = degrees**2
    for m in models:
        rows = torch.cat([c * DEGREES**2 + torch.arange(count) for c in m.index])
        y = prior.analyse(embedded(m))[0, list(m.index), :count].flatten().double()
        r = torch.zeros(len(m.index), count, len(m.index), count, dtype=torch.float64)
        index, at = torch.arange(count), prior.harmonics.degree[:count]
        own = torch.tensor(m.index)
        r[:, index, :, index] = m.factor * error[:, own[:, None], own].double()[at]
        r = r.reshape(len(rows), len(rows))
        gain = covariance[:, rows] @ torch.linalg.inv(covariance[rows][:, rows] + r)
        mean, covariance = mean + gain @ (y - mean[rows]), covariance - gain @ covariance[rows]
    spread = covariance.diagonal().clamp_min(1e-12).sqrt()
    assert ((found.flatten().double() - mean).abs() / spread).max() < 0.05


def embedded(model: ModelField) -> torch.Tensor:
    full = torch.zeros(1, CHANNELS, *model.values.shape[1:])
    full[0, list(model.index)] = torch.as_tensor(model.values)
    return full


def test_a_model_whose_error_is_four_times_as_large_is_found_out(tiny_bundle: Bundle) -> None:
    rng = np.random.default_rng(0)
    time = datetime(2001, 3, 1, tzinfo=UTC)
    names = [c.name for c in tiny_bundle.channels]
    index = tuple(names.index(name) for name in ("t500", "u500", "z500"))
    mean, std = tiny_bundle.climatology.mean(time), tiny_bundle.climatology.std
    modes = 2 * np.arange(len(tiny_bundle.forecast_error)) + 1
    share = np.einsum("l,lcc->c", modes, tiny_bundle.forecast_error) / (16 * 32)
    field = ModelField("m", index, mean[list(index)])
    batch = at_places(time, ["t500", "u500", "z500"], rng.uniform(-80, 80, 300), rng.uniform(0, 360, 300))
    position = np.array([names.index(name) for name in batch.channel.tolist()])
    error = 2.0 * np.sqrt(share[position]) * std[position, 0, 0] * rng.normal(size=len(batch))
    value = mean[position, 8, 0] + error + batch.sigma * rng.normal(size=len(batch))
    flat = replace(field, values=np.stack([np.full(mean[0].shape, mean[k, 8, 0], np.float32) for k in index]))
    assert weighed(flat, tiny_bundle, replace(batch, value=value)).factor == pytest.approx(4.0, rel=0.2)
    assert weighed(flat, tiny_bundle, batch.select(np.arange(50))).factor == 1.0


def test_real_fields_of_other_centres_are_read(real_data: Path, tiny_bundle: Bundle) -> None:
    gfs = ModelObservation(location=str(real_data / "model" / "gfs-%Y%m%d00-f072.grb"))
    assert gfs.at(datetime(2011, 10, 8, tzinfo=UTC)).is_file()
    wanted = [
        ModelObservation(location=str(real_data / "model" / "gfs-2011100800-f072.grb")),
        ModelObservation(location=str(real_data / "model" / "era5-eda-members-20170101.grib")),
    ]
    fields, problems = model_fields(wanted, tiny_bundle, datetime(2011, 10, 11, tzinfo=UTC))
    names = [tiny_bundle.channels[k].name for k in fields[0].index]
    assert len(fields) == 1
    assert {"t850", "q850", "u500", "z500", "v250", "z250"} <= set(names)
    assert not set(names) & {"2t", "sp"}
    assert 5000 < fields[0].values[names.index("z500")].mean() < 6000
    assert "has no fields valid at 2011-10-11" in problems[0]
    fields, _ = model_fields(wanted, tiny_bundle, datetime(2017, 1, 2, 12, tzinfo=UTC))
    assert sorted(tiny_bundle.channels[k].name for k in fields[0].index) == ["t500", "t850", "z500", "z850"]


def test_a_cycle_assimilates_a_model_and_tells_its_error(
    tmp_path: Path, real_data: Path, tiny_bundle_path: Path
) -> None:
    """The analysis follows the model's wave; without the file it says so and goes on."""
    import netCDF4

    archive = soundings(tmp_path / "archive", [START])
    path = tmp_path / "2021030100.nc"
    with netCDF4.Dataset(path, "w") as file:
        lat, lon = np.linspace(90, -90, 37), np.arange(0, 360, 5.0)
        for name, values in (("latitude", lat), ("longitude", lon)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
            file[name].units = "degrees_north" if name == "latitude" else "degrees_east"
        file.createDimension("level", 1)
        file.createVariable("level", "f8", ("level",))[:] = 500.0
        file["level"].units = "hPa"
        file.createDimension("time", 1)
        file.createVariable("time", "f8", ("time",))[:] = 0.0
        file["time"].units = f"hours since {START:%Y-%m-%d %H}:00:00"
        z = file.createVariable("z", "f4", ("time", "level", "latitude", "longitude"))
        z.units, z.standard_name = "m", "geopotential_height"
        z[:] = 5600.0 + 90.0 * np.sin(np.deg2rad(lon))
    names = [c.name for c in open_bundle(str(tiny_bundle_path)).channels]
    position, states = names.index("z500"), {}
    for name, location in (("with", tmp_path / "%Y%m%d%H.nc"), ("without", tmp_path / "none.nc")):
        wanted = [{"kind": "netcdf", "location": str(location)}]
        chosen = config(tmp_path / name, archive, tiny_bundle_path, assimilation={"model_observations": wanted})
        assert run_cycle(chosen, START, NOW).state == State.PUBLISHED
        with History.read(chosen.paths.state) as history:
            told = " ".join(event.text for event in history.events())
            far = np.load(next((chosen.paths.state / "work").glob("*/initial.npy")))
        states[name] = told, far[:, position, 4].mean(0)
    assert "2021030100.nc is assimilated" in states["with"][0]
    assert "none.nc" in states["without"][0]
    wave = np.sin(np.deg2rad(np.arange(16) * 22.5))
    followed = {name: np.polyfit(wave, row, 1)[0] for name, (_, row) in states.items()}
    # The soundings know of no wave; the two meet in between.
    assert 6.0 < followed["with"] - followed["without"] < 90.0
