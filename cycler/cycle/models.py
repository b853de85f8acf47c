"""The networks of a bundle, loaded when they are first needed and kept."""

import os
from functools import cached_property
from typing import TYPE_CHECKING

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config
from dacycle.errors import ConfigError

if TYPE_CHECKING:
    from dacycle.cycler.assimilation.analysis import Analyst
    from dacycle.cycler.cycle.executor import Executor
    from dacycle.emulators.emulator import Emulator

__all__ = ["Models", "threads"]


def threads(config: Config) -> int:
    """How many threads compute: as configured, or as many as this process may use."""
    return config.ensemble.threads or len(os.sched_getaffinity(0))


class Models:
    """Loads no network, and not even torch, before it is asked for one.

    ``place`` tells processes of one machine apart, so that each takes a GPU of its own where there are several.
    """

    def __init__(self, config: Config, bundle: Bundle, place: int = 0) -> None:
        self.config, self.bundle, self.place = config, bundle, place

    @cached_property
    def device(self) -> str:
        """Where networks compute, as torch names it; ConfigError for a GPU that is not there."""
        import torch

        name = self.config.ensemble.device
        if name == "cpu":
            return name
        count = torch.cuda.device_count()
        index = int(name.removeprefix("cuda:")) if ":" in name else self.place % max(count, 1)
        if index >= count:
            raise ConfigError(
                f"[ensemble] device = {name}: torch {torch.__version__} sees {count} GPUs here; is it a build with "
                "CUDA, and is the driver there?"
            )
        return f"cuda:{index}"

    @cached_property
    def executor(self) -> "Executor":
        """Draws the chunks, here or elsewhere."""
        if self.config.ensemble.executor == "dask":
            from dacycle.cycler.cycle.cluster import Cluster

            return Cluster(self.config, self.bundle)
        from dacycle.cycler.cycle.executor import Here

        return Here(self.analyst)

    def close(self) -> None:
        """Let go of what the executor holds."""
        if (executor := self.__dict__.pop("executor", None)) is not None:
            executor.close()

    @cached_property
    def analyst(self) -> "Analyst":
        """Draws analyses."""
        self.prepare()
        from dacycle.cycler.assimilation.analysis import Analyst, Settings
        from dacycle.cycler.assimilation.methods import LetkfSettings

        chosen, letkf = self.config.assimilation, LetkfSettings(**self.config.letkf.model_dump())
        settings = Settings(
            method=chosen.method, steps=chosen.steps, solver=chosen.solver, levels=chosen.levels, letkf=letkf
        )
        ensemble = self.config.ensemble
        return Analyst(self.bundle, settings, self.device, ensemble.precision, ensemble.compile)

    @cached_property
    def emulator(self) -> "Emulator":
        """Steps states forward."""
        self.prepare()
        from dacycle.emulators.registry import load_emulator

        return load_emulator(self.bundle)

    def prepare(self) -> None:
        """Fix the number of threads: another one gives other last bits, so it must be the same after a restart."""
        import torch

        torch.set_num_threads(threads(self.config))
