"""One process of a soak: the worker at accelerated time, until the end or until a fault kills it."""

import json
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from dacycle.cycler.config import Config, Log
from dacycle.cycler.cycle import space
from dacycle.cycler.cycle.engine import Engine, open_engine
from dacycle.cycler.cycle.progress import Progress
from dacycle.cycler.cycle.requests import ask
from dacycle.cycler.cycle.states import Stream
from dacycle.cycler.logs import configure
from dacycle.cycler.service.worker import Worker
from dacycle.errors import DacycleError, SourceError, StateError
from dacycle.obs.source import SoundingSource
from tests.cycle.small_world import START, STATIONS, config, soundings
from tests.faults.soak import STEP, steps_of
from tests.faults.soak_faults import Fault

LAG = timedelta(hours=12)
KEPT = timedelta(days=40)


def configured(folder: Path, bundle: Path) -> Config:
    """Quick cycles, with all that the daemon does."""
    return config(
        folder,
        folder / "archive",
        bundle,
        cycle={"first": START, "cutoff_hours": 24, "cutoff_max_hours": 240},
        ensemble={"members": 2, "chunk": 1},
        products={"formats": ["netcdf"], "retention_days": 20},
    )


def live(folder: Path, bundle: Path, faults: list[Fault], days: int, first: int) -> None:
    """From step ``first`` to the last."""
    configure(Log(level="error"))
    steps = steps_of(days)
    world = World(folder, faults)
    world.reach(first)
    chosen = configured(folder, bundle)
    process = psutil.Process()
    with open_engine(chosen, world.now()) as opened:
        engine = replace(opened, source=world.source(opened.source), observer=world.observe)
        worker = Worker(engine, world.now, world.steady)
        space.shutil.disk_usage = world.disk_usage  # type: ignore[assignment]
        for step in range(first, steps):
            world.reach(step)
            world.strike(engine)
            for _ in range(2):  # the second waking finds nothing to do
                with suppress(DacycleError):
                    worker.work()
            ledger = sum(p.stat().st_size for p in chosen.paths.state.glob("ledger.sqlite*"))
            told = {"step": step, "pid": os.getpid(), "ledger": ledger}
            told |= {"rss": process.memory_info().rss, "fds": process.num_fds()}
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(told) + "\n")


class World:
    """What is outside the daemon at a step: the archive, the clock, the disk, whoever kills processes."""

    def __init__(self, folder: Path, faults: list[Fault]) -> None:
        self.folder, self.faults, self.step = folder, faults, 0
        self._points = 0
        self._free = shutil.disk_usage
        self._written: object = None

    def holding(self, kind: str) -> Fault | None:
        return next((f for f in self.faults if f.kind == kind and f.holds(self.step)), None)

    def reach(self, step: int) -> None:
        self.step, self._points = step, 0
        self._write_archive()

    def steady(self) -> float:
        return (STEP * self.step).total_seconds()

    def now(self) -> datetime:
        jump = timedelta(hours=2 * bool(self.holding("clock ahead")) - 2 * bool(self.holding("clock behind")))
        return START + STEP * self.step + jump

    def _write_archive(self) -> None:
        """Soundings up to the lag before now, but for what is late, missing or revised at this step."""
        slow = self.holding("source slow")
        newest = START + STEP * (slow.step if slow else self.step) - LAG
        times = [t for t in (START + timedelta(hours=12) * k for k in range(self.step)) if newest - KEPT <= t <= newest]
        late, revised = {}, {}
        for fault in self.faults:
            time = START + timedelta(hours=12) * ((fault.step - 4) // 2)
            if fault.kind in ("late soundings", "one late sounding") and self.step < fault.step + fault.length:
                late[time] = 5 if fault.kind == "late soundings" else 1
            if fault.kind == "revised soundings" and self.step >= fault.step:
                revised[START + timedelta(hours=12) * ((fault.step - 12) // 2)] = 3
        broken = self.holding("broken zip")
        if (wanted := (times, late, revised, broken)) == self._written:
            return
        self._written = wanted
        soundings(self.folder / "archive", times or [START], late=late, revised=revised)
        if broken is not None:
            station = list(STATIONS)[int(broken.draw * len(STATIONS))]
            path = self.folder / f"archive/access/data-y2d/{station}-data-beg2021.txt.zip"
            path.write_bytes(path.read_bytes()[:200])

    def disk_usage(self, path: Any) -> Any:
        usage = self._free(path)
        return usage._replace(free=0) if self.holding("disk full") else usage

    def source(self, inner: SoundingSource) -> SoundingSource:
        return Faulty(inner, self)

    def strike(self, engine: Engine) -> None:
        """What happens once, before the waking."""
        for fault in self.faults:
            if fault.step != self.step:
                continue
            if fault.kind == "flipped byte":
                _flip(engine, fault.draw)
            if fault.kind in ("operator reruns", "operator holds"):
                _ask(engine, fault, self.now())
        for fault in self.faults:
            if fault.kind == "operator holds" and self.step == fault.step + fault.length:
                for time in engine.ledger.query("SELECT time FROM cycles WHERE held = 1"):
                    ask(engine.state, "release", datetime.fromisoformat(time["time"]), self.now())

    def observe(self, progress: Progress) -> None:
        """Break a stage, or the process, at a point that the fault has drawn."""
        self._points += 1
        kill = self.holding("kill")
        if kill is not None and self._points > 1 + 60 * kill.draw:
            os.kill(os.getpid(), signal.SIGKILL)
        failing = self.holding("failing stage")
        if failing is not None and progress.stage and self._points > 1 + 40 * failing.draw:
            raise RuntimeError("a fault of the soak's list")
        poison = self.holding("poison")
        if poison is not None and progress.point == "step":
            at = START + timedelta(hours=12) * ((poison.step - 4) // 2)
            if progress.time == at and progress.stream == Stream.DELAYED:
                raise RuntimeError("poison")


class Faulty:
    """The source, while it is not down."""

    def __init__(self, inner: SoundingSource, world: World) -> None:
        self._inner, self._world = inner, world

    def _reach(self) -> SoundingSource:
        if self._world.holding("source down"):
            raise SourceError("nobody answers")
        return self._inner

    def refresh(self, time: datetime | None = None) -> Any:
        return self._reach().refresh(time)

    def fetch(self, *arguments: Any) -> Any:
        return self._reach().fetch(*arguments)

    def newest(self) -> datetime | None:
        return self._reach().newest()


def _flip(engine: Engine, draw: float) -> None:
    """A byte of what the next cycle starts from."""
    newest = engine.ledger.newest_published(Stream.DELAYED)
    if newest is not None:
        path = engine.workspace(newest).folder / "initial.npy"
        content = bytearray(path.read_bytes())
        content[int(draw * len(content))] ^= 1
        path.write_bytes(content)


def _ask(engine: Engine, fault: Fault, now: datetime) -> None:
    newest = engine.ledger.newest_published(Stream.DELAYED)
    if newest is None:
        return
    with suppress(StateError):
        if fault.kind == "operator reruns":
            ask(engine.state, "rerun", newest.time - 2 * engine.config.interval, now, stage="assimilate", by="the soak")
        else:
            ask(engine.state, "hold", newest.time + engine.config.interval, now, by="the soak")
