"""What an OSSE shows: tables, paired differences from the default, and plots, in one HTML file that stands alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dacycle.channels import Channel
from dacycle.cycler.experiments.osse_methods import METHODS
from dacycle.cycler.experiments.osse_scores import (
    Interval,
    difference,
    expected_ranks,
    interval,
    joint_intervals,
    rank_contrasts,
)
from dacycle.cycler.experiments.svg import bars, lines
from dacycle.cycler.products.atomic import write_text

__all__ = ["Experiment", "Run", "load", "write_report"]

Series = npt.NDArray[np.float64]
DEFAULT = "sda"
GRIDS = {"fine": "analysis grid", "coarse": "LUCIE's grid"}
SHOWN = ("t850", "u500", "v500", "z500", "u250", "q850")
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 78em; padding: 0 1em; color: #1b2733 }
table { border-collapse: collapse; margin: .6em 0 1.6em; font-variant-numeric: tabular-nums; font-size: 13px }
th, td { padding: .15em .6em; text-align: right; border-bottom: 1px solid #e3e8ec } th { font-weight: 600 }
td:first-child, th:first-child { text-align: left }
.win { color: #0a6b3b } .loss { color: #b3261e } .best { font-weight: 700 }
figure { display: inline-block; margin: .4em 1em .8em 0 } figcaption { font-size: 13px } .note { color: #51606d }
"""


@dataclass(frozen=True)
class Run:
    """A method's scores; ``moments``: name -> (times, channels, ...), from time number ``first`` on."""

    first: int
    moments: Mapping[str, npt.NDArray[Any]]

    def series(self, grid: str, key: str) -> Series:
        """(times, channels) of ``square``, ``crps`` or ``expected``."""
        return np.asarray(self.moments[f"{grid}_{key}"], np.float64)

    @property
    def times(self) -> int:
        """How many times are scored."""
        return len(self.moments["fine_square"])

    @property
    def members(self) -> int:
        """How many there are."""
        return int(self.moments["fine_ranks"].shape[-1]) - 1

    @property
    def finite(self) -> bool:
        """Whether all scores are."""
        return bool(np.isfinite(self.series("fine", "square")).all())

    def spread_skill(self, grid: str) -> Series:
        """RMSE that the members' spread makes one expect, over the RMSE (channels,)."""
        return np.asarray(np.sqrt(self.series(grid, "expected").mean(0) / self.series(grid, "square").mean(0)))

    def contrasts(self, grid: str) -> dict[str, list[Interval]]:
        """Of the rank histograms, by channel: mean and 95 % interval of ``slope`` and ``bend``; under ``... of all``
        the intervals that hold all channels' at once."""
        found: dict[str, list[Interval]] = {}
        for name, series in zip(("slope", "bend"), rank_contrasts(self.moments[f"{grid}_ranks"]), strict=True):
            found[name] = [interval(column) for column in series.T]
            found[f"{name} of all"] = joint_intervals(series)
        return found


def load(out: Path, names: Sequence[str], skip: int) -> dict[str, Run]:
    """What lies in an experiment's folder, by method; those that have not come past ``skip`` times are left out."""
    runs = {}
    for name in names:
        folder = out / name.replace(" ", "-").replace(",", "")
        paths = sorted(folder.glob("scores-*.npz"))[skip:]
        if not paths:
            continue
        parts = []
        for path in paths:
            with np.load(path, allow_pickle=False) as file:
                parts.append(dict(file))
        keys = [key for key in parts[0] if all(key in part for part in parts)]
        runs[name] = Run(skip, {key: np.stack([part[key] for part in parts]) for key in keys})
    return runs


@dataclass(frozen=True)
class Experiment:
    """``settings``: what was run; ``skip``: times of spin-up that count for nothing."""

    settings: Mapping[str, Any]
    channels: Sequence[Channel]
    skip: int
    runs: Mapping[str, Run]

    def paired(self, name: str, grid: str, key: str, k: int) -> tuple[float, float, float]:
        """Mean and 95 % interval of (method - default) in channel ``k``, over the times that both have done."""
        ours, theirs = self.runs[DEFAULT], self.runs[name]
        n = min(ours.times, theirs.times)
        return difference(ours.series(grid, key)[:n, k], theirs.series(grid, key)[:n, k])

    def verdict(self, name: str, grid: str, key: str) -> list[str]:
        """``win``, ``loss`` or ``tie`` of the default against the method, by channel; a method that left the finite
        numbers has lost."""
        lost = self.runs[DEFAULT].finite and not self.runs[name].finite
        told = []
        for k in range(len(self.channels)):
            _, low, high = self.paired(name, grid, key, k)
            told.append("win" if lost or low > 0 else "loss" if high < 0 else "tie")
        return told

    def verdicts(self) -> list[str]:
        """One line per method: how the default fares."""
        if DEFAULT not in self.runs:
            return [f"{DEFAULT} has not come past the spin-up yet: nothing to compare with"]
        lines = []
        for name, run in self.runs.items():
            if name == DEFAULT:
                continue
            parts = []
            for grid, key in ((g, k) for g in GRIDS for k in ("square", "crps")):
                told = self.verdict(name, grid, key)
                what = "RMSE" if key == "square" else "CRPS"
                parts.append(f"{what} {GRIDS[grid]} {told.count('win')}/{told.count('tie')}/{told.count('loss')}")
            n = min(run.times, self.runs[DEFAULT].times)
            known = f"{n} times" if run.finite else f"{n} times, not all of its states finite"
            lines.append(f"{DEFAULT} against {name} ({known}), won/tied/lost channels: " + "; ".join(parts))
        return lines

    def told(self) -> dict[str, Any]:
        """Everything as JSON."""
        scores: dict[str, Any] = {}
        for name, run in self.runs.items():
            scores[name] = {"times": run.times}
            for grid in GRIDS:
                scores[name][grid] = {
                    "rmse": _listed(np.sqrt(run.series(grid, "square").mean(0))),
                    "crps": _listed(run.series(grid, "crps").mean(0)),
                    "spread_skill": _listed(run.spread_skill(grid)),
                    "ranks": run.moments[f"{grid}_ranks"].sum(0).tolist(),
                }
                if run.members > 1 and run.finite:
                    scores[name][grid] |= {"rank_contrasts": run.contrasts(grid)}
                if DEFAULT in self.runs and name != DEFAULT:
                    scores[name][grid] |= {
                        f"against_{DEFAULT}": {
                            "mse": [_listed(self.paired(name, grid, "square", k)) for k in range(len(self.channels))],
                            "crps": [_listed(self.paired(name, grid, "crps", k)) for k in range(len(self.channels))],
                        }
                    }
        names = [c.name for c in self.channels]
        return {**self.settings, "skip": self.skip, "channels": names, "scores": scores, "verdicts": self.verdicts()}


def _listed(values: Sequence[float] | Series) -> list[float | None]:
    """For JSON, which has no number for what is not finite."""
    return [float(value) if np.isfinite(value) else None for value in values]


def write_report(path: Path, experiment: Experiment) -> None:
    """One file with everything in it."""
    settings, runs = experiment.settings, experiment.runs
    first = settings["times"][min(experiment.skip, len(settings["times"]) - 1)]
    calls = settings["steps"] or "each method's own number of"
    intro = (
        f"<p>Truth: the <b>{escape(settings['world'])}</b> world, scored from {first} to {settings['times'][-1]} "
        f"(the first {experiment.skip} times are spin-up). {settings['members']} members, seed {settings['seed']}, "
        f"{calls} denoiser calls, bundle {escape(settings['bundle']['name'])} "
        f"{settings['bundle']['digest'][:12]}. All methods share truth, soundings, errors, members "
        "and first analysis.</p>"
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{run.times}</td><td>{escape(METHODS[name].told)}</td></tr>"
        for name, run in runs.items()
    )
    parts = [intro, f"<table><tr><th>method</th><th>times</th><th>what it is</th></tr>{rows}</table>"]
    parts += [f"<p>{escape(line)}</p>" for line in experiment.verdicts()]
    for grid, where in GRIDS.items():
        for key, what in (("square", "RMSE of the ensemble mean"), ("crps", "CRPS")):
            parts.append(f"<h2>{what}, {where}</h2>{_score_table(experiment, grid, key)}")
        parts.append(f"<h2>Spread over skill, {where}</h2>{_ratio_table(experiment, grid)}")
    parts.append("<h2>Error over time</h2>" + "".join(_error_plot(experiment, name) for name in SHOWN))
    ranks = "".join(_rank_plots(experiment))
    told = (
        f"<p class='note'>How often so many members of {DEFAULT} lie below the truth; red: what is expected of "
        "members in antithetic pairs, whose middle rank counts twice.</p>"
    )
    parts.append(f"<h2>Rank histograms of the truth</h2>{told}{ranks}{_contrast_table(experiment)}")
    note = (
        "<p class='note'>Colours compare with the default over the times that both have done: green, the default's "
        "score is lower beyond the 95 % interval of a moving-block bootstrap; red, higher. Bold: the best.</p>"
    )
    html = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>OSSE</title><style>{STYLE}</style>"
    html += f"<h1>Observing-system simulation experiment</h1>{note}{''.join(parts)}</html>\n"
    write_text(path, html)


def _score_table(experiment: Experiment, grid: str, key: str) -> str:
    runs = experiment.runs
    means = {name: run.series(grid, key).mean(0) for name, run in runs.items()}
    shown = {name: np.sqrt(m) if key == "square" else m for name, m in means.items()}
    head = "".join(f"<th>{escape(name)}</th>" for name in runs)
    body = []
    for k, channel in enumerate(experiment.channels):
        factor, unit = (1e3, "g/kg") if channel.variable == "q" else (1.0, channel.units)
        best = min(runs, key=lambda name: np.nan_to_num(shown[name][k], nan=np.inf))
        cells = []
        for name in runs:
            value, text = shown[name][k] * factor, ""
            kind = "best" if name == best else ""
            if name != DEFAULT and DEFAULT in runs:
                _, low, high = experiment.paired(name, grid, key, k)
                kind += " win" if low > 0 else " loss" if high < 0 else ""
                scale = means[DEFAULT][k]
                text = f" title='{name} - {DEFAULT}: {low / scale:+.1%} to {high / scale:+.1%} of {DEFAULT}'"
            if not np.isfinite(value):
                kind, text, value_told = "win", "", "not finite"
            else:
                value_told = f"{value:.3g}" if value < 100 else f"{value:.0f}"
            cells.append(f"<td class='{kind}'{text}>{value_told}</td>")
        body.append(f"<tr><td>{channel.name} [{escape(unit)}]</td>{''.join(cells)}</tr>")
    return f"<table><tr><th>channel</th>{head}</tr>{''.join(body)}</table>"


def _ratio_table(experiment: Experiment, grid: str) -> str:
    runs = {name: run for name, run in experiment.runs.items() if run.members > 1 and run.finite}
    head = "".join(f"<th>{escape(name)}</th>" for name in runs)
    ratios = {name: run.spread_skill(grid) for name, run in runs.items()}
    body = "".join(
        f"<tr><td>{c.name}</td>" + "".join(f"<td>{ratios[name][k]:.2f}</td>" for name in runs) + "</tr>"
        for k, c in enumerate(experiment.channels)
    )
    return f"<table><tr><th>channel</th>{head}</tr>{body}</table>"


def _contrast_table(experiment: Experiment) -> str:
    run = experiment.runs.get(DEFAULT)
    if run is None or run.members < 2 or not run.finite:
        return ""
    told = (
        "<p class='note'>Slope (above zero: the truth lies high among the members) and bend (above zero: a U, too "
        "little spread; below: a dome) of these histograms, with 95 % intervals: of each channel by itself, and such "
        "that hold all channels' at once. Bold where zero lies outside.</p>"
    )
    found = run.contrasts("fine")
    rows = []
    for k, channel in enumerate(experiment.channels):
        cells = []
        for column in found.values():
            mean, low, high = column[k]
            kind = "" if low <= 0 <= high else " class='best'"
            cells.append(f"<td{kind}>{mean:+.3f} ({low:+.3f} to {high:+.3f})</td>")
        rows.append(f"<tr><td>{channel.name}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in found)
    return f"{told}<table><tr><th>channel</th>{head}</tr>{''.join(rows)}</table>"


def _error_plot(experiment: Experiment, channel: str) -> str:
    names = [c.name for c in experiment.channels]
    if channel not in names:
        return ""
    k = names.index(channel)
    series = {name: np.sqrt(run.series("fine", "square")[:, k]) for name, run in experiment.runs.items() if run.finite}
    return f"<figure>{lines(series)}<figcaption>RMSE of {channel}, by analysis time</figcaption></figure>"


def _rank_plots(experiment: Experiment) -> list[str]:
    run = experiment.runs.get(DEFAULT)
    if run is None:
        return []
    ranks = run.moments["fine_ranks"].sum(0)
    expected = expected_ranks(ranks.shape[1] - 1)
    return [
        f"<figure>{bars(row / row.sum(), expected)}<figcaption>{c.name}</figcaption></figure>"
        for c, row in zip(experiment.channels, ranks, strict=True)
    ]
