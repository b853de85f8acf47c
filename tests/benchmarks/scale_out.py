"""What dask costs and gains: members drawn here and by worker processes, seconds and bits side by side.

Usage: python -m tests.benchmarks.scale_out [--members 16] [--steps 16] [--workers 1 2]. It draws members of the demo's
second analysis time (simulated world, default bundle) with one thread per process.
"""

import argparse
import hashlib
import time

from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.cluster import Cluster
from dacycle.cycler.cycle.executor import Chunk, Executor, Known
from dacycle.cycler.cycle.models import Models
from tests.benchmarks.demo_analysis import demo_analysis


def main() -> None:
    """Print a line per executor."""
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
    here, work, digest = timed(executor(bundle, {**ensemble}, assimilation), known, chunks, 1)
    print(f"{args.members} members, {args.steps} steps, {len(known.batch)} values: {here:.1f} s, {work:.1f} s of work")
    for workers in args.workers:
        chosen = {**ensemble, "executor": "dask", "workers": workers}
        seconds, spent, found = timed(executor(bundle, chosen, assimilation), known, chunks, workers)
        told = f"{here / seconds:.2f} times as fast; {spent:.1f} s of processors, {spent / work - 1:+.1%}"
        bits = "same bits" if found == digest else "OTHER BITS"
        print(f"dask, {workers} workers: {seconds:.1f} s, {told}; {bits}", flush=True)


def executor(bundle: Bundle, ensemble: dict[str, object], assimilation: dict[str, object]) -> Executor:
    config = Config.model_validate({"ensemble": ensemble, "assimilation": assimilation})
    return Models(config, bundle).executor


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
