"""The networks of a bundle, loaded when they are first needed and kept."""

import os
from functools import cached_property
from typing import TYPE_CHECKING

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.config import Config

if TYPE_CHECKING:
    from dacycle.cycler.assimilation.analysis import Analyst
    from dacycle.emulators.emulator import Emulator

__all__ = ["Models", "threads"]


def threads(config: Config) -> int:
    """How many threads compute: as configured, or as many as this process may use."""
    return config.ensemble.threads or len(os.sched_getaffinity(0))


class Models:
    """Loads no network, and not even torch, before it is asked for one."""

    def __init__(self, config: Config, bundle: Bundle) -> None:
        self.config, self.bundle = config, bundle

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
        return Analyst(self.bundle, settings)

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
