"""What the report says of a method that left the finite numbers."""

import json
from pathlib import Path

import numpy as np

from dacycle.channels import DEFAULT_CHANNELS
from dacycle.cycler.experiments.osse_report import Experiment, Run, write_report

TIMES, CHANNELS = 12, len(DEFAULT_CHANNELS)
SETTINGS = {
    "world": "simulated",
    "bundle": {"name": "small", "digest": "0" * 64},
    "times": [f"2001-01-{day:02d}T00" for day in range(1, TIMES + 1)],
    "members": 4,
    "steps": None,
    "seed": 0,
}


def run(size: float) -> Run:
    scores = {
        f"{grid}_{key}": np.full((TIMES, CHANNELS), size) for grid in ("fine", "coarse") for key in ("square", "crps")
    }
    scores |= {f"{grid}_expected": np.full((TIMES, CHANNELS), size) for grid in ("fine", "coarse")}
    return Run(0, scores | {f"{grid}_ranks": np.ones((TIMES, CHANNELS, 5), np.int64) for grid in ("fine", "coarse")})


def test_a_method_without_finite_states_has_lost_and_the_report_says_why(tmp_path: Path) -> None:
    experiment = Experiment(
        SETTINGS, DEFAULT_CHANNELS, 0, {"sda": run(1.0), "oi": run(1.0), "published Gamma": run(np.nan)}
    )
    assert experiment.verdict("oi", "fine", "square") == ["tie"] * CHANNELS
    assert experiment.verdict("published Gamma", "fine", "square") == ["win"] * CHANNELS
    assert "not all of its states finite" in experiment.verdicts()[1]
    told = json.loads(json.dumps(experiment.told(), allow_nan=False))
    assert told["scores"]["published Gamma"]["fine"]["rmse"] == [None] * CHANNELS
    write_report(tmp_path / "report.html", experiment)
    html = (tmp_path / "report.html").read_text()
    assert html.count(">not finite<") == 4 * CHANNELS
    assert "nan" not in html
    assert len(told["scores"]["sda"]["fine"]["rank_contrasts"]["bend"]) == CHANNELS
    assert "rank_contrasts" not in told["scores"]["published Gamma"]["fine"]
    assert html.count("<th>slope</th><th>slope of all</th><th>bend</th>") == 1
