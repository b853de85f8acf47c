"""The parser against siphon and igra, on real files: every value they read, where they agree and why not, and the time.

    python tests/benchmarks/published_readers.py ZIP [ZIP ...]

Needs siphon and igra, in an environment of their own (pip install siphon igra numpy); the package is found through
PYTHONPATH. Times are of one run, one process, CPU seconds; the best of five for the package.
"""

import contextlib
import io
import json
import sys
import time
import types
import warnings
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np

from dacycle.obs.igra.format import parse
from dacycle.obs.soundings import Soundings, decode

__all__ = ["against_igra", "against_siphon"]

NAN_SAFE = {"equal_nan": True, "rtol": 0.0, "atol": 1e-6}


def told(ours: np.ndarray, theirs: np.ndarray) -> dict[str, int]:
    """How many values agree, NaN with NaN, and how many do not."""
    same = np.isclose(np.asarray(ours, float), np.asarray(theirs, float), **NAN_SAFE)
    return {"agree": int(same.sum()), "differ": int((~same).sum())}


def against_siphon(path: Path, found: Soundings) -> dict[str, object]:
    """siphon's own reading of the file, its download replaced by the file's bytes."""
    from siphon.simplewebservice.igra2 import IGRAUpperAir

    reader = IGRAUpperAir()
    reader.suffix, reader.site_id = "-data.txt", path.name[:11]
    reader.begin_date, reader.end_date = datetime(1, 1, 1), datetime(9999, 1, 1)  # noqa: DTZ001
    reader.get_path = lambda _: types.SimpleNamespace(content=path.read_bytes())
    start = time.process_time()
    body, header = reader._get_data()
    seconds = time.process_time() - start
    levels, reports = found.levels, found.reports
    etime = np.where(levels.etime < 0, np.nan, levels.etime // 100 * 60 + levels.etime % 100)
    temperature = decode(levels.temp, 0.1)
    released = np.where(np.isin(reports.reltime, [9999]), np.nan, reports.reltime // 100 * 3600.0)
    released = released + reports.reltime % 100 * 60.0
    columns = {
        "lvltyp1": (levels.major, "lvltyp1"),
        "lvltyp2": (levels.minor, "lvltyp2"),
        "etime_s": (etime, "etime"),
        "pressure_hpa": (decode(levels.press, 0.01), "pressure"),
        "height": (decode(levels.gph, 1.0), "height"),
        "temperature_c": (temperature, "temperature"),
        "relative_humidity": (decode(levels.rh, 0.1), "relative_humidity"),
        "dewpoint_c": (temperature - decode(levels.dpdp, 0.1), "dewpoint"),
        "direction": (decode(levels.wdir, 1.0), "direction"),
        "speed": (decode(levels.wspd, 0.1), "speed"),
    }
    result: dict[str, object] = {"seconds": round(seconds, 3), "levels": len(body), "soundings": len(header)}
    if len(body) == len(levels):
        result |= {name: told(ours, body[theirs].to_numpy()) for name, (ours, theirs) in columns.items()}
    result["release_s"] = told(released, header["release_time"].to_numpy())
    result["latitude"] = told(reports.lat, header["latitude"].to_numpy())
    result["longitude"] = told(reports.lon, header["longitude"].to_numpy())
    result["date"] = told(
        reports.nominal.astype("datetime64[h]").astype(float),
        header["date"].to_numpy().astype("datetime64[h]").astype(float),
    )
    return result


def against_igra(path: Path, found: Soundings) -> dict[str, object]:
    """``igra.ascii_to_dataframe`` of the same file."""
    from igra.read import ascii_to_dataframe

    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        body, header = ascii_to_dataframe(str(path), all_columns=True)
    seconds = time.process_time() - start
    levels, reports = found.levels, found.reports
    columns = {
        "etime_raw": (np.where(levels.etime < -8000, np.nan, levels.etime), "etime"),
        "pressure_pa": (decode(levels.press, 1.0), "pres"),
        "height": (decode(levels.gph, 1.0), "gph"),
        "temperature_c": (decode(levels.temp, 0.1), "temp"),
        "relative_humidity": (decode(levels.rh, 0.1), "rhumi"),
        "depression": (decode(levels.dpdp, 0.1), "dpd"),
        "direction": (decode(levels.wdir, 1.0), "windd"),
        "speed": (decode(levels.wspd, 0.1), "winds"),
    }
    result: dict[str, object] = {"seconds": round(seconds, 3), "levels": len(body), "soundings": len(header)}
    if len(body) == len(levels):
        result |= {name: told(ours, body[theirs].to_numpy()) for name, (ours, theirs) in columns.items()}
    result["latitude"] = told(reports.lat, header["lat"].to_numpy())
    result["longitude"] = told(reports.lon, header["lon"].to_numpy())
    result["time"] = told(
        reports.reference.astype(float), header.index.to_numpy().astype("datetime64[m]").astype(float)
    )
    return result


def added(total: dict[str, object], part: dict[str, object]) -> dict[str, object]:
    """Two results as one: numbers add up, failures are counted by their text."""
    for key, value in part.items():
        if isinstance(value, dict):
            total[key] = added(dict(total.get(key, {})), value)  # type: ignore[call-overload]
        else:
            total[key] = round(total.get(key, 0) + value, 4)  # type: ignore[operator]
    return total


def main() -> int:
    """Print what was found over all files together."""
    warnings.simplefilter("ignore")
    total: dict[str, object] = {}
    for name in sys.argv[1:]:
        path = Path(name)
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0])
        seconds = []
        for _ in range(5):
            start = time.process_time()
            found = parse(text, path.name)
            seconds.append(time.process_time() - start)
        own = {"soundings": len(found), "levels": len(found.levels), "problems": len(found.problems)}
        result: dict[str, object] = {"files": 1, "dacycle": own | {"bytes": len(text), "seconds": min(seconds)}}
        for label, compare in (("siphon", against_siphon), ("igra", against_igra)):
            try:
                result[label] = compare(path, found)
            except Exception as error:
                result[label] = {f"fails: {type(error).__name__}: {error}": 1}
        added(total, result)
    print(json.dumps(total, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
