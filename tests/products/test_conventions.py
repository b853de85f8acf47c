"""CF 1.11 and ACDD 1.3, as the compliance checker of IOOS understands them, for every netCDF that is written."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dacycle.cycler.products.publish import publish
from tests.products.samples import ensemble, request
from tests.tools import require_tool

LOW = 1


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """File name -> checker -> report; one run of the slow checker for all files."""
    tool = require_tool("compliance-checker")
    folder = tmp_path_factory.mktemp("conventions")
    publish(folder / "00", request(forecasts=(ensemble(hours=6), ensemble(hours=12)), formats=("netcdf",)))
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
@pytest.mark.parametrize("name", ["analysis.nc", "forecast.nc"])
def test_fields_meet_the_conventions(reports: dict[str, Any], name: str) -> None:
    assert set(reports[name]) == {"cf:1.11", "acdd:1.3"}
    assert complaints(reports[name]) == []


@pytest.mark.slow
def test_observations_meet_the_conventions_but_for_units_that_differ_by_row(reports: dict[str, Any]) -> None:
    """A table of all channels cannot state one unit for its values; ``channel_units`` has them row by row."""
    names = ["value", "sigma", *(f"{a}_{b}" for a in ("background", "analysis") for b in ("mean", "spread"))]
    expected = {f'variable "{name}" missing the following attributes:: {what}' for name in names for what in WANTED}
    assert set(complaints(reports["observations.nc"])) == expected


WANTED = ("standard_name", "units")
