"""The status page: one look tells whether the cycle is healthy, what is late and why."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any

from dacycle.cycler.config import Config
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import CycleRecord, Departure, Statistics, format_time
from dacycle.cycler.cycle.report import finite, status_json
from dacycle.cycler.cycle.states import PUBLISHED, Stage, State, Stream

__all__ = ["STYLE", "render"]

SHOWN = 40
MARKS = {
    State.PUBLISHED: ("good", "✓"),
    State.PUBLISHED_FREE_FORECAST: ("fair", "→"),
    State.FAILED: ("bad", "✗"),
    State.EXPIRED: ("bad", "–"),
    State.WAITING_OBS: ("wait", "…"),
    State.PENDING: ("wait", "·"),
    State.SUPERSEDED: ("wait", "↻"),
}
MEANINGS = {
    State.PUBLISHED: "published with soundings",
    State.PUBLISHED_FREE_FORECAST: "no soundings: the forecast goes on",
    State.FAILED: "failed; tried again, then given up",
    State.EXPIRED: "too old to be caught up with, or given up",
    State.WAITING_OBS: "waits for soundings",
    State.PENDING: "about to begin",
}
STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d5d9de, #3a4048); --soft: light-dark(#f4f6f8, #1d2228);
  --text: light-dark(#1a2027, #e4e8ec); --dim: light-dark(#55606c, #9aa5b1); --page: light-dark(#fff, #14181c);
  --good: light-dark(#0b6b3a, #63d297); --fair: light-dark(#8a5a00, #f0b849); --bad: light-dark(#b3261e, #ff8a80);
  --busy: light-dark(#0b57a8, #7db8f7); }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1.25rem 3rem; max-width: 76rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; }
.dim, figcaption { color: var(--dim); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.cards div { background: var(--soft); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.cards b { display: block; font-size: 1.15rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--dim); font-weight: 600; } td.number, th.number { text-align: right; }
td.wrap { white-space: normal; min-width: 16rem; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); } .busy { color: var(--busy); }
.wait { color: var(--dim); } a { color: inherit; } footer { margin-top: 2rem; color: var(--dim); }
"""


def render(history: History | None, config: Config, now: datetime, busy: str = "") -> str:
    """The whole page; ``history`` None: nothing has run yet. ``busy``: what the daemon is doing."""
    if history is None:
        return _document(config, now, "<p>Nothing has run yet: the daemon waits for its first cycle.</p>")
    told = status_json(history, config, now, newest=1)
    records = list(reversed(history.cycles(newest=SHOWN)))
    newest = history.newest_published(Stream.DELAYED)
    parts = [
        _cards(told, records, newest, now, busy),
        "<h2>Cycles</h2>",
        _table(
            ("cycle", "stream", "state", "background", "#soundings used", *(f"#{s} s" for s in Stage), "why"),
            (_cycle_row(history, record) for record in records),
        ),
    ]
    analysed = history.newest_published(Stream.DELAYED, State.PUBLISHED)
    if analysed is not None:
        parts += [
            f"<h2>Observations against background and analysis, {analysed.time:%Y-%m-%d %H} UTC</h2>",
            _table(
                ("channel", "#values", "#O-B bias", "#O-B rms", "#O-A bias", "#O-A rms", "#spread/skill"),
                _departure_rows(history.statistics(analysed.id)),
            ),
        ]
    events = (
        (_dim(format_time(e.at)), f'<span class="{_LEVELS[e.level]}">{e.level}</span>', escape(e.text))
        for e in history.events(30)
    )
    parts += ["<h2>What happened</h2>", _table(("when", "", "what"), events, wrap_last=True)]
    return _document(config, now, "\n".join(parts))


_LEVELS = {"info": "wait", "warning": "fair", "error": "bad"}


def _document(config: Config, now: datetime, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="30"><title>dacycle</title><link rel="stylesheet" href="/style.css"></head>
<body><header><h1>dacycle</h1><span class="dim">{escape(str(config.source.location))} ·
every {config.cycle.interval_hours} hours · {config.ensemble.members} members</span></header>
<main>{body}</main>
<footer>as of {format_time(now)} · <a href="/api/v1/cycles">JSON</a> · <a href="/metrics">metrics</a></footer>
</body></html>
"""


def _cards(
    told: Mapping[str, Any], records: list[CycleRecord], newest: CycleRecord | None, now: datetime, busy: str
) -> str:
    delayed = [r for r in records if r.stream == Stream.DELAYED]
    failed = next((r for r in delayed if r.state in (State.FAILED, State.EXPIRED)), None)
    waiting = next((r for r in delayed if r.state == State.WAITING_OBS), None)
    if failed is not None and (newest is None or failed.time > newest.time):
        health = ("bad", f"{failed.state}: {failed.time:%Y-%m-%d %H} UTC")
    elif waiting is not None:
        health = ("wait", f"waiting for soundings of {waiting.time:%Y-%m-%d %H} UTC")
    else:
        health = ("good", "in order") if newest else ("wait", "no analysis yet")
    age = told["source_age_seconds"]
    cards = (
        ("The cycle is", f'<b class="{health[0]}">{escape(health[1])}</b>'),
        ("Newest analysis", f"<b>{newest.time:%Y-%m-%d %H} UTC</b>" if newest else "<b>none</b>"),
        ("Next due", f"<b>{escape(told['next_due'] or 'not known yet')}</b>"),
        ("Newest sounding", "<b>not known yet</b>" if age is None else f"<b>{_duration(age)} ago</b>"),
        ("Now", f'<b class="{"busy" if busy else ""}">{escape(busy or "idle")}</b>'),
    )
    return '<div class="cards">' + "".join(f"<div>{name}{value}</div>" for name, value in cards) + "</div>"


def _cycle_row(history: History, record: CycleRecord) -> list[str]:
    stages = history.stages(record.id)
    colour, mark = MARKS.get(record.state, ("busy", "▶"))
    meaning = escape(MEANINGS.get(record.state, "running"))
    state = f'<span class="{colour}" title="{meaning}">{mark} {escape(record.state)}</span>'
    name = f"{record.time:%Y-%m-%d %H}"
    if record.state in PUBLISHED:
        early = "early/" if record.stream == Stream.EARLY else ""
        name = f'<a href="/products/{record.time:%Y/%m/%d/%H}/{early}manifest.json">{name}</a>'
    seconds = [stages[s].seconds if s in stages else None for s in Stage]
    return [
        name,
        escape(record.stream),
        state + (" <b>held</b>" if record.held else ""),
        escape(record.background),
        f"{record.soundings_used} of {record.soundings_received}",
        *("" if value is None else f"{value:.1f}" for value in seconds),
        escape(record.reason),
    ]


def _departure_rows(statistics: Statistics) -> Iterable[list[str]]:
    for name, analysis in statistics.oma.items():
        background = statistics.omb.get(name)
        ratio = finite(statistics.spread_skill.get(name))
        yield [name, str(analysis.n), *_pair(background), *_pair(analysis), "" if ratio is None else f"{ratio:.2f}"]


def _pair(departure: Departure | None) -> tuple[str, str]:
    if departure is None:
        return "", ""
    return f"{departure.bias:.3g}", f"{departure.rms:.3g}"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], wrap_last: bool = False) -> str:
    """``heads`` that begin with # stand over numbers; cells are HTML already."""
    names = list(heads)
    kinds = [' class="number"' if name.startswith("#") else "" for name in names]
    if wrap_last or names[-1] == "why":
        kinds[-1] = ' class="wrap"'
    head = "".join(f'<th scope="col"{k}>{n.removeprefix("#")}</th>' for n, k in zip(names, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{cell}</td>" for cell, k in zip(row, kinds, strict=True)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _dim(text: str) -> str:
    return f'<span class="dim">{escape(text)}</span>'


def _duration(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
