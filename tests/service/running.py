"""The daemon as a process whose clock starts where a test says. Usage: running.py CONFIG NOW.

HANG_ONCE=FILE in the environment: the first forecast stage hangs for ever, as a call into a library may, and FILE says
that it did.
"""

import os
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

from dacycle.cycler.config_file import load_config
from dacycle.cycler.logs import configure
from dacycle.cycler.service.daemon import Daemon
from dacycle.errors import DacycleError


def main(path: Path, start: datetime) -> int:
    """Run until a signal."""
    began = time.monotonic()

    def clock() -> datetime:
        return start + timedelta(seconds=int(time.monotonic() - began))

    try:
        if "HANG_ONCE" in os.environ:
            told = Path(os.environ["HANG_ONCE"])
            start += timedelta(minutes=10 * told.exists())  # the pause before the next try is over
            hang_once(told)
        config = load_config(path, {})
        configure(config.log)
        return Daemon(config, path, clock).run()
    except DacycleError as error:
        print(f"dacycle: {error}", file=sys.stderr)
        return 1


def hang_once(told: Path) -> None:
    """Replace the forecast stage by one that hangs while ``told`` is absent."""
    import torch  # noqa: F401  (it takes long to load: no hang, but no progress either)

    from dacycle.cycler.cycle import forecast
    from dacycle.cycler.cycle.task import Task

    real = forecast.forecast

    def hanging(task: Task) -> None:
        if not told.exists():
            told.touch()
            threading.Event().wait()
        real(task)

    forecast.forecast = hanging


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])))
