"""Chunks as tasks of dask.distributed: on processes of this machine, or on those of a scheduler elsewhere.

Every worker process loads the models once and keeps them. Results come back as they are done. A chunk whose worker is
lost is drawn again by another one, with the same numbers. Scheduler and workers need the environment that the daemon
has: another version of a program, of torch or of the bundle would give other last bits, and is refused.
"""

import logging
import queue
import threading
import time as monotonic
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog

from dacycle.binding import bound
from dacycle.cycler.allocator import ENVIRONMENT
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.executor import Check, Chunk, FloatArray, Known, draw_chunk
from dacycle.cycler.cycle.models import Models, threads
from dacycle.cycler.logs import configure
from dacycle.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

__all__ = ["Cluster", "Recipe"]

TICK_SECONDS = 0.5
CONNECT_SECONDS = 20.0
HERE_ONLY = {"paths", "source", "cycle", "products", "service"}
PATIENCE_SECONDS = 600.0
"""Without a single denoiser call on the whole cluster for so long, something is wrong with it."""
DECIDING = ("dacycle", "torch", "torch_harmonics", "numpy")
LOG = logging.getLogger("dacycle.cluster")


@dataclass(frozen=True)
class Recipe:
    """How a worker makes its models: the configuration as JSON, the bundle's digest, the versions that decide bits."""

    config: str
    bundle: str
    versions: tuple[str, ...]


class Cluster:
    """Draws chunks on dask workers; connects when first asked to."""

    def __init__(self, config: Config, bundle: Bundle) -> None:
        try:
            import distributed  # noqa: F401
        except ImportError:
            hint = "pip install 'dacycle[distributed]'"
            raise ConfigError(f"[ensemble] executor = dask: dask.distributed is not installed; {hint}") from None
        self.config, self.bundle = config, bundle
        self._own: LocalCluster | None = None

    @cached_property
    def recipe(self) -> Recipe:
        """The same for all tasks; without what may differ from machine to machine."""
        config = self.config
        ensemble = config.ensemble.model_copy(update={"threads": threads(config)})
        bundle = config.bundle
        if bundle.path != "default":
            bundle = bundle.model_copy(update={"path": str(self.bundle.path.absolute())})
        sent = config.model_copy(update={"ensemble": ensemble, "bundle": bundle})
        return Recipe(sent.model_dump_json(exclude=HERE_ONLY), self.bundle.digest, _versions())

    @cached_property
    def client(self) -> "Client":
        """Connected to the configured address, or to processes of our own."""
        from distributed import Client

        _log_as_everybody_does()
        ensemble = self.config.ensemble
        if ensemble.address is None:
            self._own = _workers_here(ensemble.workers)
        address = self._own.scheduler_address if self._own else str(ensemble.address)
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="dacycle")
        except (OSError, ValueError) as error:  # OSError includes TimeoutError
            told = " ".join(str(error).split())
            raise ClusterError(f"no dask scheduler at {address}: {told}; see [ensemble] address") from None
        return client

    def draw(self, known: Known, chunks: Sequence[Chunk], check: Check) -> Iterator[tuple[Chunk, FloatArray]]:
        """As they come. ClusterError where there is no scheduler, no worker, or no progress for ten minutes."""
        from distributed.comm.core import CommClosedError

        try:
            yield from self._drawn(known, chunks, check)
        except (CancelledError, CommClosedError) as error:
            self.close()
            raise ClusterError(f"the connection to the dask scheduler is lost: {error}; is it running?") from None

    def _drawn(self, known: Known, chunks: Sequence[Chunk], check: Check) -> Iterator[tuple[Chunk, FloatArray]]:
        client = self.client
        self._require_workers(client)
        topic, calls = f"dacycle-{uuid4()}", queue.SimpleQueue[None]()
        client.subscribe_topic(topic, lambda event: calls.put(None))
        # What the chunks share travels once to every worker, so that none of them is preferred for having it; as the
        # result of a task it can be had again when a worker is lost.
        shared = client.submit(_given, known, key=f"{topic}-known", pure=False)
        client.replicate(shared)
        pending = {}
        for chunk in chunks:
            arguments = self.recipe, shared, tuple(chunk), topic, bound()
            pending[client.submit(_draw_there, *arguments, key=f"{topic}-{chunk[0]}", pure=False)] = chunk
        moved = monotonic.monotonic()
        try:
            while pending:
                done = _done(client, pending)
                count = _drained(calls)
                if done or count:
                    moved = monotonic.monotonic()
                elif monotonic.monotonic() - moved > PATIENCE_SECONDS:
                    raise ClusterError(f"nothing happened on {self.workers()} dask workers for {PATIENCE_SECONDS:g} s")
                check(count)
                for future in done:
                    yield pending.pop(future), _result(future)
        finally:
            client.cancel([*pending, shared])
            client.unsubscribe_topic(topic)

    def workers(self) -> int:
        """How many workers there are; ClusterError without any."""
        self._require_workers(self.client)
        return len(self.client.scheduler_info(n_workers=-1)["workers"])

    def _require_workers(self, client: "Client") -> None:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            address = self.config.ensemble.address
            raise ClusterError(f"no dask worker has come to {address} within {CONNECT_SECONDS:g} s") from None

    def close(self) -> None:
        """Disconnect, and end the processes that were started here; the next draw connects anew."""
        if (client := self.__dict__.pop("client", None)) is not None:
            client.close()
        if self._own is not None:
            self._own.close()
            self._own = None


def _workers_here(count: int) -> "LocalCluster":
    """Processes of this machine.

    dask lets workers give every freed page back to the system at once (MALLOC_TRIM_THRESHOLD_), which doubled the work:
    ours keep them (``allocator.py``). Its profiler, which looks at the stack a hundred times a second, cost a tenth
    more, its clock of the event loop a twentieth.
    """
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
    }
    with dask.config.set(settings):
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=logging.WARNING,
        )


def _done(client: "Client", pending: "dict[Future[Any], Chunk]") -> "list[Future[Any]]":
    from distributed import wait

    try:
        with client.as_current():
            return list(wait(list(pending), timeout=TICK_SECONDS, return_when="FIRST_COMPLETED").done)
    except TimeoutError:
        return []


def _result(future: "Future[Any]") -> FloatArray:
    from distributed import KilledWorker

    try:
        states: FloatArray = future.result()
    except KilledWorker as error:
        told = "several dask workers died over the same members"
        hint = "give them more memory, or draw fewer at once: [ensemble] chunk"
        raise ClusterError(f"{told}, the last at {error.last_worker.address}; {hint}") from None
    return states


def _drained(calls: "queue.SimpleQueue[None]") -> int:
    count = 0
    while not calls.empty():
        calls.get()
        count += 1
    return count


def _log_as_everybody_does() -> None:
    """dask's loggers come with handlers of their own, whose lines would not be JSON."""
    for name in ("distributed", "distributed.client", "distributed.worker", "tornado", "tornado.application", "bokeh"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


# What runs in the workers.


def _given(known: Known) -> Known:
    return known


def _draw_there(recipe: Recipe, known: Known, chunk: Chunk, topic: str, context: dict[str, str]) -> FloatArray:
    """``context``: what the daemon's log lines carry; those of the worker carry it, too."""
    with structlog.contextvars.bound_contextvars(**context):
        return _drawn_there(recipe, known, chunk, topic)


def _drawn_there(recipe: Recipe, known: Known, chunk: Chunk, topic: str) -> FloatArray:
    from distributed import get_worker

    worker = get_worker()
    with _loading:
        models = _models(recipe, str(worker.name))
        models.prepare()
        analyst = models.analyst
    key = worker.get_current_task()

    def step() -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":  # dask itself lets a thread finish what nobody waits for
            raise CancelledError
        worker.log_event(topic, chunk[0])

    began = monotonic.monotonic()
    states = draw_chunk(analyst, known, chunk, step)
    LOG.debug("chunk_drawn", extra={"members": list(chunk), "seconds": round(monotonic.monotonic() - began, 2)})
    return states


_loading = threading.Lock()


@lru_cache(maxsize=1)
def _models(recipe: Recipe, worker: str) -> Models:
    """The models of this process, loaded once; ClusterError where it would draw other members than the daemon."""
    if (found := _versions()) != recipe.versions:
        raise ClusterError(f"dask worker {worker} has {_named(found)}; the daemon has {_named(recipe.versions)}")
    config = Config.model_validate_json(recipe.config)
    configure(config.log)
    _log_as_everybody_does()
    bundle = open_bundle(config.bundle.path)
    if bundle.digest != recipe.bundle:
        raise ClusterError(f"dask worker {worker} has another bundle at {bundle.path} than the daemon; copy it there")
    return Models(config, bundle, place=int(worker) if worker.isdigit() else 0)


def _versions() -> tuple[str, ...]:
    return tuple(version(name) for name in DECIDING)


def _named(versions: Sequence[str]) -> str:
    return ", ".join(f"{name} {found}" for name, found in zip(DECIDING, versions, strict=True))
