"""What dask costs and gains: members drawn here and by worker processes, seconds and bits side by side.

Usage: python -m tests.benchmarks.scale_out [--members 16] [--steps 16] [--workers 1 2]. It draws members of the demo's
second analysis time (simulated world, default bundle) with one thread per process. Beside every number of workers stand
as many plain processes that share the chunks without dask: what they lose against one process is the machine's doing
(memory, caches, clock), what the workers need beyond them is dask's.
"""

import argparse
import hashlib
import multiprocessing
import time
from collections.abc import Mapping
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from dacycle.cycler.allocator import keep_freed_memory
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.cluster import Cluster
from dacycle.cycler.cycle.executor import Chunk, Executor, Known
from dacycle.cycler.cycle.models import Models
from tests.benchmarks.demo_analysis import demo_analysis


def main() -> None:
    """Print a line per executor."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--chunk", type=int, default=4)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    bundle = open_bundle("default")
    known = demo_analysis(bundle, args.members)
    numbers = range(1, args.members + 1)
    chunks = [numbers[i : i + args.chunk] for i in range(0, len(numbers), args.chunk)]
    ensemble = {"members": args.members, "chunk": args.chunk, "threads": 1}
    assimilation = {"steps": args.steps}
    here, work, digest = timed(executor(bundle, ensemble, assimilation), known, chunks, 1)
    print(f"{args.members} members, {args.steps} steps, {len(known.batch)} values: {here:.1f} s, {work:.1f} s of work")
    for workers in args.workers:
        plain, busy = beside(workers, ensemble, assimilation, known, chunks)
        print(f"{workers} plain processes: {plain:.1f} s, {here / plain:.2f} times as fast; {busy:.1f} s of processors")
        chosen = {**ensemble, "executor": "dask", "workers": workers}
        seconds, spent, found = timed(executor(bundle, chosen, assimilation), known, chunks, workers)
        told = f"{here / seconds:.2f} times as fast; {spent:.1f} s of processors"
        more = f"overhead {seconds / plain - 1:+.1%} of the time, {spent / busy - 1:+.1%} of the processors"
        bits = "same bits" if found == digest else "OTHER BITS"
        print(f"dask, {workers} workers: {seconds:.1f} s, {told}; {more}; {bits}", flush=True)


def executor(bundle: Bundle, ensemble: Mapping[str, object], assimilation: Mapping[str, object]) -> Executor:
    config = Config.model_validate({"ensemble": ensemble, "assimilation": assimilation})
    return Models(config, bundle).executor


def beside(
    count: int, ensemble: Mapping[str, object], assimilation: Mapping[str, object], known: Known, chunks: list[Chunk]
) -> tuple[float, float]:
    """Seconds until ``count`` processes have drawn every ``count``-th chunk each, and seconds of their processors."""
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(count + 1), context.SimpleQueue()
    shares = [chunks[i::count] for i in range(count)]
    given = [(ensemble, assimilation, known, share, ready, told) for share in shares]
    processes = [context.Process(target=share_drawn, args=one) for one in given]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    busy = sum(told.get() for _ in processes)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return seconds, busy


def share_drawn(
    ensemble: Mapping[str, object],
    assimilation: Mapping[str, object],
    known: Known,
    chunks: list[Chunk],
    ready: Barrier,
    told: "SimpleQueue[float]",
) -> None:
    """In a process of its own: load the models, wait for the others, draw."""
    keep_freed_memory()
    mine = executor(open_bundle("default"), ensemble, assimilation)
    list(mine.draw(known, [[100]], lambda calls: None))
    ready.wait()
    began = time.process_time()
    list(mine.draw(known, chunks, lambda calls: None))
    told.put(time.process_time() - began)


def timed(executor: Executor, known: Known, chunks: list[Chunk], workers: int) -> tuple[float, float, str]:
    """Seconds for all chunks, with the models loaded before; seconds of all processes' processors; the bits' digest."""
    list(executor.draw(known, [[100 + i] for i in range(workers)], lambda calls: None))
    began, used = time.perf_counter(), spent(executor)
    drawn = {chunk[0]: states for chunk, states in executor.draw(known, chunks, lambda calls: None)}
    seconds, used = time.perf_counter() - began, spent(executor) - used
    executor.close()
    total = hashlib.sha256()
    for first in sorted(drawn):
        total.update(drawn[first].tobytes())
    return seconds, used, total.hexdigest()


def spent(executor: Executor) -> float:
    """Processor seconds so far, of this process (dask's scheduler is in it) and the workers."""
    there = executor.client.run(time.process_time).values() if isinstance(executor, Cluster) else ()
    return time.process_time() + sum(there)


if __name__ == "__main__":
    main()
