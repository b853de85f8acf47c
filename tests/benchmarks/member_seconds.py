"""Seconds per member on a device, and how far bfloat16 and compilation move the members from float32.

Usage: python -m tests.benchmarks.member_seconds [--device cuda] [--batches 1 8 64] [--steps 16] [--compile].
It draws the demo's second analysis (simulated world, default bundle, 128x256) in batches of members.
"""

import argparse
import time

import numpy as np
import numpy.typing as npt
import torch

from dacycle.cycler.allocator import keep_freed_memory
from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.bundle import Bundle, open_bundle
from dacycle.cycler.config import Config
from dacycle.cycler.cycle.executor import Known, draw_chunk
from dacycle.cycler.cycle.models import Models
from tests.benchmarks.demo_analysis import demo_analysis


def main() -> None:
    """Print a line per precision and batch."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    bundle = open_bundle("default")
    known = demo_analysis(bundle, 8)
    kinds = {"float32": ("float32", False), "bfloat16": ("bfloat16", False)}
    if args.compile:
        kinds["float32, compiled"] = ("float32", True)
        kinds["bfloat16, compiled"] = ("bfloat16", True)  # refused by the configuration until this is near float32
    name = torch.cuda.get_device_name() if args.device.startswith("cuda") else "CPU"
    reference: dict[int, npt.NDArray[np.float32]] = {}
    for kind, (precision, compiled) in kinds.items():
        ensemble = {"device": args.device, "precision": precision, "threads": args.threads}
        config = Config.model_validate({"ensemble": ensemble, "assimilation": {"steps": args.steps}})
        analyst = Models(config, bundle).analyst
        if compiled:
            analyst.prior.network.compile()
        for batch in args.batches:
            seconds, states = timed(analyst, known, batch, args.device)
            told = far(bundle, states, reference.setdefault(batch, states))
            print(f"{name}, {kind}, batch {batch}: {seconds / batch:.4f} s per member; {told}", flush=True)


def timed(analyst: Analyst, known: Known, batch: int, device: str) -> tuple[float, npt.NDArray[np.float32]]:
    """Seconds of a batch after one that warms up, and its members."""
    members = range(1, batch + 1)
    draw_chunk(analyst, known, members, lambda: None)
    began = time.perf_counter()
    states = draw_chunk(analyst, known, members, lambda: None)  # ends with a copy to the host, which waits
    return time.perf_counter() - began, states


def far(bundle: Bundle, states: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> str:
    """Difference from float32 in standard deviations of the climate: rms of the worst channel, and the largest."""
    difference = (states - reference) / bundle.climatology.std
    rms = np.sqrt((difference**2).mean((0, 2, 3))).max()
    return f"from float32: rms {rms:.1e}, largest {np.abs(difference).max():.1e} of the climate's standard deviation"


if __name__ == "__main__":
    main()
