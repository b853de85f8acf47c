"""One analysis of the simulated world to measure with: the demo's soundings and a forecast of its emulator."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch

from dacycle.cycler.assimilation.fields import coarsen
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.cycle.executor import Known
from dacycle.cycler.cycle.ingest import gather
from dacycle.emulators.registry import load_emulator
from dacycle.obs.source import open_source

DEMO = Path(__file__).resolve().parents[2] / "cycler" / "demo"
TIME = datetime(2001, 8, 26, tzinfo=UTC)


def demo_analysis(bundle: Bundle, members: int) -> Known:
    """The soundings of ``TIME``, and a 12-hour forecast from near the climatology 12 hours before."""
    source = open_source("igra", str(DEMO / "archive"), DEMO)
    truth = bundle.climatology.mean(TIME - timedelta(hours=12))
    rng = np.random.default_rng(0)
    start = np.stack([truth + 0.1 * rng.normal() * bundle.climatology.std for _ in range(members)]).astype(np.float32)
    emulator = load_emulator(bundle)
    with torch.no_grad():
        forecast = emulator.forecast(torch.from_numpy(coarsen(bundle, start)), TIME - timedelta(hours=12), 12)
    return Known(TIME, gather(source, bundle, TIME).batch, forecast.numpy().astype(np.float32), seed=0)
