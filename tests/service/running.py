"""The daemon as a process whose clock starts where a test says. Usage: running.py CONFIG NOW."""

import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from dacycle.cycler.config import load_config
from dacycle.cycler.service.daemon import Daemon
from dacycle.cycler.service.logging import configure
from dacycle.errors import DacycleError


def main(path: Path, start: datetime) -> int:
    """Run until a signal."""
    began = time.monotonic()

    def clock() -> datetime:
        return start + timedelta(seconds=int(time.monotonic() - began))

    try:
        config = load_config(path, {})
        configure(config.log)
        return Daemon(config, path, clock).run()
    except DacycleError as error:
        print(f"dacycle: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])))
