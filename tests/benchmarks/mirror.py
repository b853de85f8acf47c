"""What a mirror of a whole year to date costs: time and memory of the first copy, of an update, of a cycle's soundings.

    python -m tests.benchmarks.mirror [--stations 800] [--soundings 660] [--levels 150] [--changed 5]

A server of its own process serves made-up stations (one text under many names: its content does not matter here) over
loopback. Told: seconds and peak memory of the first refresh, of reading one analysis time, and of the refresh and
reading after so many stations got one sounding more.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from dacycle.obs.igra.archive import STATION_LIST, Y2D
from dacycle.obs.igra.http import HttpSource
from tests.obs.igra_text import Level, listed, sounding
from tests.obs.server import serving

START = datetime(2016, 1, 1, tzinfo=UTC)
STATION = "AAM00000000"


def text(number: int, levels: int) -> str:
    """Soundings every twelve hours; values drawn once per sounding."""
    rng, parts = np.random.default_rng(0), []
    for k in range(number):
        temps = rng.integers(-800, 300, levels).tolist()
        rows = [Level(press=100000 - 600 * j, gph=100 * j, temp=t, wdir=t % 360, wspd=50) for j, t in enumerate(temps)]
        parts.append(sounding(*rows, station=STATION, when=f"{START + k * timedelta(hours=12):%Y %m %d %H}"))
    return "".join(parts)


def write(root: Path, station: str, content: str) -> None:
    """One station's zip, quickly."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(f"{station}-data.txt", content.replace(STATION, station))
    path = root / Y2D / f"{station}-data-beg2016.txt.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed.getvalue())


def serve(root: Path, line: Connection) -> None:
    """Serve until told to stop."""
    with serving(root) as site:
        line.send(site.url)
        line.recv()


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("stations", 800), ("soundings", 660), ("levels", 150), ("changed", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    stations = [f"AAM{k + 1:08d}" for k in range(args.stations)]
    newest = START + (args.soundings - 1) * timedelta(hours=12)
    with tempfile.TemporaryDirectory() as folder:
        root, content = Path(folder) / "server", text(args.soundings, args.levels)
        for station in stations:
            write(root, station, content)
        (root / STATION_LIST).parent.mkdir(parents=True)
        (root / STATION_LIST).write_text("".join(f"{listed(station)}\n" for station in stations))
        here, there = multiprocessing.Pipe()
        server = multiprocessing.get_context("fork").Process(target=serve, args=(root, there))
        server.start()
        source = HttpSource(here.recv(), Path(folder) / "mirror")
        told: dict[str, object] = vars(args) | {"megabytes_of_text": len(content) * args.stations / 1e6}

        def timed(name: str, work: object) -> object:
            start, cpu = time.monotonic(), time.process_time()
            result = work()  # type: ignore[operator]
            told[name] = {
                "seconds": round(time.monotonic() - start, 2),
                "cpu": round(time.process_time() - cpu, 2),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            }
            return result

        told["memory_before_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        assert timed("first_refresh", lambda: source.refresh(newest)) == ()
        assert timed("newest", source.newest) == newest
        assert len(timed("soundings_of_a_time", lambda: source.fetch(newest))) == args.stations  # type: ignore[arg-type]
        assert len(timed("again", lambda: source.fetch(newest - timedelta(hours=12)))) == args.stations  # type: ignore[arg-type]
        more = sounding(Level(press=50000, temp=1), station=STATION, when=f"{newest + timedelta(hours=12):%Y %m %d %H}")
        for station in stations[: args.changed]:
            write(root, station, content + more)
            os.utime(root / Y2D / f"{station}-data-beg2016.txt.zip", (time.time() + 3600, time.time() + 3600))
        later = newest + timedelta(hours=12)

        def update() -> int:
            source.refresh(later)
            return len(source.fetch(later))

        assert timed("update", update) == args.changed
        here.send("stop")
        server.join()
    print(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
