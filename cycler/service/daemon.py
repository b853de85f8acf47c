"""``dacycle run``: the daemon in the foreground.

The scheduler's heartbeat wakes the worker, which does what the ledger says is owed. SIGTERM and SIGINT end it between
two calls of the denoiser, or after ``[service] stop_seconds`` wherever it is: the ledger and the artefacts are whole at
any moment. SIGHUP reads the configuration anew. A worker without progress for ``[service] hang_seconds`` cannot be
ended from within: the process then replaces itself, and the cycle counts as failed.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from dacycle.cycler.bundle import open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.config_file import load_config
from dacycle.cycler.cycle.engine import Engine, open_engine
from dacycle.cycler.cycle.models import Models
from dacycle.cycler.cycle.progress import Progress, Stopped
from dacycle.cycler.cycle.space import needed_bytes, unusable
from dacycle.cycler.cycle.states import ACTIVE, State, Stream
from dacycle.cycler.logs import configure
from dacycle.cycler.service.clockwatch import steady_seconds
from dacycle.cycler.service.health import STARTING, STOPPING, Word
from dacycle.cycler.service.notify import notify, watchdog_seconds
from dacycle.cycler.service.serving import Served, listen, served
from dacycle.cycler.service.worker import Worker
from dacycle.errors import DacycleError
from dacycle.obs.source import open_source

__all__ = ["Daemon", "run"]

ASKING = "asks the source for news"


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC).replace(microsecond=0)


def run(path: Path | None) -> int:
    """Run until told to stop; the exit code."""
    config = load_config(path)
    configure(config.log)
    return Daemon(config, path, utc_now).run()


class Daemon:
    """Holds the threads together: for signals (this one), for the work, the scheduler's, the HTTP process's keeper."""

    def __init__(
        self,
        config: Config,
        path: Path | None,
        clock: Callable[[], datetime],
        steady: Callable[[], float] | None = steady_seconds,
        speed: float = 1.0,
        listening: Callable[[str], None] = lambda url: None,
    ) -> None:
        """``listening`` is told the page's address once the port is ours; ``speed``: the clock's, in the demo."""
        self.config, self.path, self.clock, self.steady, self.speed = config, path, clock, steady, speed
        self._tell_address = listening
        self.log = structlog.get_logger("dacycle.daemon")
        self.stopping, self.wake, self.reread = threading.Event(), threading.Event(), threading.Event()
        self._doing = ""
        self._share = (0, 0)
        self._progressed = time.monotonic()
        self._present: Progress | None = None
        self._thread: threading.Thread | None = None
        self._trouble: str | None = STARTING
        self._http: Served | None = None

    def run(self) -> int:
        """Until SIGTERM or SIGINT."""
        config = self.config
        with open_engine(config, self.clock(), self.observe) as engine:
            listening = listen(config)
            self._engine = engine
            worker = threading.Thread(target=self._work, args=(engine,), name="worker", daemon=True)
            self._thread = worker
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_stop)
            signal.signal(signal.SIGHUP, self._on_hangup)
            scheduler = self._scheduler()
            self._needed = needed_bytes(config, engine.bundle)
            with served(config, self, listening) as self._http:
                host, port = listening.getsockname()[:2]
                url = f"http://{host}:{port}/"
                self._tell_address(url)
                self.log.info("started", url=url, state=str(config.paths.state.absolute()))
                scheduler.start()
                worker.start()
                notify("READY=1", f"STATUS=listening on {host}:{port}")
                self.stopping.wait()
                notify("STOPPING=1")
                self.log.info("stopping", doing=self.busy())
                until = time.monotonic() + config.service.stop_seconds
                self.wake.set()
            scheduler.shutdown(wait=False)
            worker.join(max(0.0, until - time.monotonic()))
            if worker.is_alive():
                self.log.warning("abandoned", doing=self.busy(), seconds=config.service.stop_seconds)
                # The stage cannot be interrupted just now. Nothing is lost: the next start finds it unfinished.
                os._exit(0)
        self.log.info("stopped")
        return 0

    def trouble(self) -> str | None:
        """Why no cycle could run now: true also when the worker hangs or has ended."""
        if self.stopping.is_set():
            return STOPPING
        if self._trouble is not None:
            return self._trouble
        if self._thread is None or not self._thread.is_alive():
            return "the worker has ended"
        return self._stalled() or unusable(self.config.paths.state, self._needed)

    def _stalled(self) -> str | None:
        """Why only a restart helps."""
        if (seconds := self._silent()) > self.config.service.hang_seconds:
            return f"no progress for {seconds:.0f} s: {self._doing}"
        return None

    def said(self) -> Word:
        """How it is, for the HTTP side."""
        trouble, stalled = self.trouble() or "", self._stalled() or ""
        return Word(self.clock(), trouble, stalled, self._doing, *self._share, speed=self.speed)

    def busy(self) -> str:
        """What the worker is doing."""
        return self._doing

    def observe(self, progress: Progress) -> None:
        """Note the progress of a cycle; end it here when the daemon stops."""
        self._progressed = time.monotonic()
        self._present = progress
        if progress.point == "source":
            self._doing = ASKING
            return
        self._trouble = None  # a cycle runs
        if progress.total:
            self._share = (progress.done, progress.total)
        if progress.point == "cycle_begin":
            structlog.contextvars.unbind_contextvars("stage")
            structlog.contextvars.bind_contextvars(cycle=f"{progress.time:%Y-%m-%dT%H}", stream=progress.stream)
        elif progress.point == "stage_begin":
            self._doing = f"{progress.time:%Y-%m-%d %H} UTC {progress.stream}: {progress.stage}"
            self._share = (0, 0)
            structlog.contextvars.bind_contextvars(stage=progress.stage)
        if progress.point in ("cycle_begin", "stage_begin", "stage_end", "cycle_end"):
            self.log.info(progress.point)
            if self._http is not None:
                self._http.tell()
        elif progress.point == "chunk":
            self.log.debug("chunk", done=progress.done, total=progress.total)
        if progress.point == "stage_end":
            structlog.contextvars.unbind_contextvars("stage")
        if self.stopping.is_set():
            raise Stopped

    def _silent(self) -> float:
        """Seconds since a busy worker gave a sign; a transfer from the source gives none, and may take its time."""
        if not self._doing:
            return 0.0
        allowed = self.config.cycle.stage_timeout_seconds if self._doing == ASKING else 0.0
        return max(0.0, time.monotonic() - self._progressed - allowed)

    def _work(self, engine: Engine) -> None:
        worker = Worker(engine, self.clock, self.steady)
        while not self.stopping.is_set():
            if self.reread.is_set():
                self.reread.clear()
                worker = self._renewed(worker)
            self._progressed = time.monotonic()
            try:
                worker.work()
                self._trouble = worker.trouble
            except Stopped:
                return
            except DacycleError as error:
                if str(error) != self._trouble:
                    self.log.error("work_failed", reason=str(error))
                self._trouble = str(error)
            except Exception as error:
                self._trouble = f"{type(error).__name__}: {error}"
                self.log.exception("work_failed")
            self._doing = ""
            structlog.contextvars.unbind_contextvars("cycle", "stream", "stage")
            self.wake.wait()
            self.wake.clear()

    def _renewed(self, worker: Worker) -> Worker:
        """A worker with the file's present configuration; the one at hand where that cannot be used."""
        old = worker.engine
        try:
            config = load_config(self.path)
            if (config.paths, config.service) != (old.config.paths, old.config.service):
                raise DacycleError("changes of [paths] and [service] need a restart")
            bundle = open_bundle(config.bundle.path)
            source = open_source(config.source.kind, config.source.location, config.paths.state / "mirror")
        except DacycleError as error:
            old.ledger.tell(f"the configuration stays as it was: {error}", self.clock(), "warning", logged=True)
            self.log.warning("configuration_refused", reason=str(error))
            return worker
        old.ledger.tell("the configuration was read anew", self.clock(), logged=True)
        self.log.info("configuration_reread")
        if self._http is not None:
            self._http.renew(config)
        return Worker(
            Engine(config, old.ledger, bundle, source, Models(config, bundle), old.observer), self.clock, self.steady
        )

    def _scheduler(self) -> BackgroundScheduler:
        scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
        beat = self.config.service.heartbeat_seconds
        wanted = watchdog_seconds()
        if wanted is not None:
            beat = min(beat, wanted / 3)
        # A missed heartbeat is made up for once, however late: after a suspend the owed cycles must be seen.
        options = {"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        scheduler.add_job(self._heartbeat, "interval", seconds=beat, **options)
        return scheduler

    def _heartbeat(self) -> None:
        self.wake.set()
        alive = self._thread is not None and self._thread.is_alive()
        seconds = self._silent()
        if seconds > self.config.service.hang_seconds and not self.stopping.is_set():
            self._start_anew(f"no progress for {seconds:.0f} s ([service] hang_seconds)")
        if alive and seconds <= self.config.service.hang_seconds:
            notify("WATCHDOG=1", f"STATUS={self._doing or 'idle'}")

    def _start_anew(self, why: str) -> None:
        """A stage that does not come back cannot be ended inside a process: the process replaces itself.

        The ledger is told first, so that the cycle's tries are counted. Threads, the lock and the port end with the
        old program; systemd sees the same process.
        """
        self.log.critical("hangs", doing=self._doing, reason=why)
        telling = threading.Thread(target=self._blame, args=(why,), daemon=True)
        telling.start()
        telling.join(5.0)  # where the disk hangs, the ledger does too
        if self._http is not None:
            self._http.stop()  # its process holds the port
        notify("STATUS=starting anew after a stage hung")
        if self._http is not None:
            self._http.stop()
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    def _blame(self, why: str) -> None:
        progress, ledger = self._present, self._engine.ledger
        if progress is None or not progress.stream:
            return
        record = ledger.cycle(progress.time, Stream(progress.stream))
        if record is not None and record.state in ACTIVE:
            text = f"{record.label} failed: {progress.stage} hung, {why}"
            ledger.move(
                record.id, State.FAILED, self.clock(), f"{progress.stage} hung: {why}", tell=text, level="error"
            )

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping.set()

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        self.reread.set()
        self.wake.set()
