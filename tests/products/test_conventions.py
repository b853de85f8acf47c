"""CF 1.11 and ACDD 1.3, as the compliance checker of IOOS understands them, for every netCDF that is written."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dacycle.cycler.products.derived import derive
from dacycle.cycler.products.publish import publish
from dacycle.cycler.products.thresholds import Threshold
from tests.products.samples import ensemble, request
from tests.tools import require_tool

LOW = 1


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """File name -> checker -> report; one run of the slow checker for all files."""
    tool = require_tool("compliance-checker")
    folder = tmp_path_factory.mktemp("conventions")
    plain = ensemble()
    states, channels = derive(plain.states, plain.channels, ("msl", "ws10", "ws850", "r850"), np.zeros((16, 32)))
    wanted = (Threshold("ws10", "above", 17.2), Threshold("2t", "below", 273.15))
    whole = replace(plain, states=states, channels=channels, thresholds=wanted)
    forecasts = (ensemble(hours=6), ensemble(hours=12))
    publish(folder / "00", request(analysis=whole, forecasts=forecasts, formats=("netcdf",)))
    files = [str(folder / "00" / name) for name in ("analysis.nc", "forecast.nc", "observations.nc")]
    out = folder / "report.json"
    command = [tool, "-t", "cf:1.11", "-t", "acdd:1.3", "-c", "strict", "-f", "json_new", "-o", str(out), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.exists(), done.stderr
    return {Path(path).name: report for path, report in json.loads(out.read_text()).items()}


def complaints(report: dict[str, Any]) -> list[str]:
    """What is wrong above low priority."""
    found = []
    for checker in report.values():
        for priority in ("high_priorities", "medium_priorities"):
            for each in checker[priority]:
                got, possible = each["value"]
                if got < possible:
                    found += [f"{each['name']}: {message}" for message in each["msgs"] or ["failed"]]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["analysis.nc", "forecast.nc", "observations.nc"])
def test_every_file_meets_the_conventions(reports: dict[str, Any], name: str) -> None:
    assert set(reports[name]) == {"cf:1.11", "acdd:1.3"}
    assert complaints(reports[name]) == []
