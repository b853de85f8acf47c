"""The device, the precision and the compiler: chosen by configuration, and near enough to float32 on a CPU."""

import numpy as np
import pytest
import torch

from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.models import Models
from dacycle.errors import ConfigError
from tests.obs.batches import NOON, batch
from tests.tools import require_tool

ROUNDING = 2.0**-8
"""bfloat16 keeps eight bits of a number."""


def analyst(bundle: Bundle, **ensemble: object) -> Analyst:
    """With a network that has something to say: that of the tiny bundle is untrained and silent."""
    config = Config.model_validate({"ensemble": {"threads": 1, **ensemble}, "assimilation": {"steps": 8}})
    made = Models(config, bundle).analyst
    generator = torch.Generator().manual_seed(1)
    for parameter in made.prior.network.parameters():
        parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return made


def drawn(made: Analyst) -> np.ndarray:
    observed = batch([{"t850": 268.0, "z500": 5610.0}, {"u250": 12.0}, {"t500": 255.0, "v250": -9.0}])
    states = made.draw(NOON, observed, None, [1, 2], seed=0)
    return np.asarray(states / made.bundle.climatology.std)


def test_bfloat16_stays_within_its_rounding_of_float32(tiny_bundle: Bundle) -> None:
    exact, rounded = (drawn(analyst(tiny_bundle, precision=name)) for name in ("float32", "bfloat16"))
    silent = Models(Config.model_validate({"ensemble": {"threads": 1}, "assimilation": {"steps": 8}}), tiny_bundle)
    said = np.sqrt(((drawn(silent.analyst) - exact) ** 2).mean())
    difference = np.sqrt(((rounded - exact) ** 2).mean())
    assert said > 0.01, "the network must have a say, or nothing is compared"
    assert 0 < difference < 4 * ROUNDING * max(said, 0.1)


@pytest.mark.filterwarnings("ignore")  # torch warns of what its compiler does itself
def test_compiled_network_draws_the_same_members(tiny_bundle: Bundle) -> None:
    require_tool("g++")
    exact = drawn(analyst(tiny_bundle, precision="float32"))
    compiled = drawn(analyst(tiny_bundle, precision="float32", compile=True))
    assert np.abs(compiled - exact).max() < 1e-4


def test_compiling_in_bfloat16_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="not exact in bfloat16; set precision = float32"):
        analyst(tiny_bundle, precision="bfloat16", compile=True)


@pytest.mark.parametrize(("device", "told"), [("cuda", "sees 0 GPUs here"), ("cuda:3", "sees [0-3] GPUs here")])
def test_missing_gpu_is_told_in_one_line(tiny_bundle: Bundle, device: str, told: str) -> None:
    if torch.cuda.device_count() > (3 if ":" in device else 0):
        pytest.skip("that GPU is here")
    with pytest.raises(ConfigError, match=rf"^\[ensemble\] device = {device}: torch \S+ {told}; [^\n]*$"):
        analyst(tiny_bundle, device=device)


def test_processes_of_one_machine_take_a_gpu_each(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def device(name: str, place: int) -> str:
        return Models(Config.model_validate({"ensemble": {"device": name}}), tiny_bundle, place).device

    assert [device("cuda", place) for place in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert device("cuda:1", 0) == "cuda:1"
    assert device("cpu", 1) == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU"])
def test_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected cpu, cuda or cuda:N"):
        Config.model_validate({"ensemble": {"device": name}})


def test_address_needs_its_protocol() -> None:
    with pytest.raises(ValueError, match="expected tcp://host:port or tls://host:port"):
        Config.model_validate({"ensemble": {"address": "host:8786"}})
