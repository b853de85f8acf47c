"""Who leads a state directory that several machines can reach.

The file lock keeps out a second process of this machine; on shared storage it may not reach further. So the leader
also signs the ledger: its epoch, and a beat now and then. A leader on another machine is believed dead when its beats
stop while we watch, by our own steady clock; and every transaction of one that was only asleep is refused, for its
epoch is over.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dacycle.cycler.cycle.ledger import Ledger
from dacycle.errors import DacycleError, StateError

__all__ = ["BEAT_SECONDS", "PATIENCE_SECONDS", "leading", "this_machine"]

BEAT_SECONDS = 20.0
PATIENCE_SECONDS = 65.0
"""Three beats: without one in so long, a leader on another machine is gone."""


def this_machine() -> str:
    """What tells this running kernel, whose file locks hold, from any other."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.is_file() else socket.gethostname()


@contextmanager
def leading(ledger: Ledger, patience: float = PATIENCE_SECONDS, machine: str | None = None) -> Iterator[None]:
    """Lead, once no leader elsewhere gives signs of life; StateError where one does. Call it under the file lock."""
    machine = machine or this_machine()
    _wait_for_silence(ledger, patience, machine)
    ledger.lead(f"process {os.getpid()} on {socket.gethostname()}", machine)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(ledger, ended.wait), name="lease", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        with suppress(DacycleError):
            ledger.write("UPDATE lease SET holder = ''")


def _beat(ledger: Ledger, wait: Callable[[float], bool]) -> None:
    while not wait(BEAT_SECONDS):
        with suppress(DacycleError):
            ledger.write("UPDATE lease SET beats = beats + 1")


def _wait_for_silence(ledger: Ledger, patience: float, machine: str) -> None:
    def sign() -> tuple[object, ...]:
        rows = ledger.query("SELECT holder, machine, epoch, beats FROM lease")
        return tuple(rows[0]) if rows else ("", "", 0, 0)

    first = sign()
    if not first[0] or first[1] == machine:
        return
    end = time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(min(1.0, patience / 10))
        if sign() != first:
            raise StateError(
                f"state directory {ledger.path.parent} is led by another dacycle ({sign()[0]}); one at a time"
            )
