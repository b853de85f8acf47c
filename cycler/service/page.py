"""The status page, rendered here whole and in parts, so that the parts that live can be fetched again."""

from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt

from dacycle.channels import Channel, channel
from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import format_time
from dacycle.cycler.cycle.report import finite
from dacycle.cycler.cycle.states import State, Stream
from dacycle.cycler.service.advice import advice
from dacycle.cycler.service.api import Site
from dacycle.cycler.service.assets import assets
from dacycle.cycler.service.series import channels
from dacycle.cycler.service.timeline import LOOKS, RUNNING, cells, past_year
from dacycle.cycler.service.verdict import LATE, Situation, Verdict, hours, situation, verdict
from dacycle.cycler.service.world import card
from dacycle.errors import StateError

__all__ = ["PARTS", "missing", "page", "part", "runbook"]

PARTS = ("now", "cycles", "departures", "events")
HERE = Path(__file__).parent
SHOWN = 42
EVENTS = 40
YEAR = 1500


@lru_cache(maxsize=1)
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    templates.filters |= {"hours": hours, "time": format_time, "gigabytes": lambda n: f"{n / 1e9:,.0f} GB"}
    templates.globals |= {"asset": lambda name: assets()[name].address}
    return templates


def page(site: Site) -> str:
    """The whole page, or why there is none yet."""
    told: dict[str, Any] = {"config": site.config, "world": _world(site), "speed": site.health.said().speed}
    try:
        with History.read(site.config.paths.state) as history:
            parts = {name: _part(site, history, name) for name in PARTS}
            newest = history.newest_published(Stream.DELAYED)
            told |= {"parts": parts, "channels": [channel(name) for name in channels(history)], "newest": newest}
            told["drawn"] = _drawn(site)
    except StateError as error:
        return _templates().get_template("nothing.html").render(told, error=str(error), said=site.health.said())
    return _templates().get_template("page.html").render(told)


def part(site: Site, name: str) -> str:
    """One of ``PARTS``; StateError without a ledger."""
    with History.read(site.config.paths.state) as history:
        return _part(site, history, name)


def runbook() -> str:
    """docs/runbook.md as a page: the way to it must not need a network."""
    text = (HERE / "runbook.md").read_text(encoding="utf-8")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for before, inside in pairwise(tokens):
        if before.type == "heading_open":
            before.attrSet("id", inside.content.split(" ")[0].lower())
    return _templates().get_template("runbook.html").render(body=markdown.renderer.render(tokens, markdown.options, {}))


def missing(path: str) -> str:
    """What a browser gets for an address that is none."""
    return _templates().get_template("missing.html").render(path=path[:200])


def _part(site: Site, history: History, name: str) -> str:
    values = {"now": _now, "cycles": _cycles, "departures": _departures, "events": _events}[name](site, history)
    return _templates().get_template(f"{name}.html").render(values)


def _now(site: Site, history: History) -> dict[str, Any]:
    s = situation(history, site.config, site.health.said())
    s = replace(s, late=s.late / s.word.speed)  # on the reader's clock: half a day of the demo's is two minutes of it
    due_for = s.due - timedelta(hours=site.config.cycle.cutoff_hours) if s.due else None
    counts = history.counts(s.newest.id) if s.newest else None
    return {"s": s, "verdict": _with_running(verdict(s), s), "due_for": due_for, "counts": counts}


def _with_running(told: Verdict, s: Situation) -> Verdict:
    """Health and the running cycle in one sentence, where the verdict tells of the one or of the other."""
    if not s.running or told.level == "bad":
        return told
    level, headline = told.level, told.headline
    if told.why.startswith(s.word.busy):  # it tells of nothing but the cycle
        late = s.late > LATE
        level = "watch" if late else "busy"
        headline = f"Late by {hours(s.late)}" if late else "Healthy" if s.newest else "No analysis yet"
    return replace(told, level=level, headline=f"{headline} · running {s.word.busy.partition(' UTC')[0]} UTC")


def _cycles(site: Site, history: History) -> dict[str, Any]:
    shown = cells(history, SHOWN)
    streams = [(stream, [c for c in shown if c.record.stream == stream]) for stream in Stream]
    spans, first, last = past_year(history, YEAR)
    legend = dict.fromkeys([*(LOOKS[s] for s in LOOKS if s != State.SUPERSEDED), RUNNING])
    return {
        "streams": [(stream, found) for stream, found in streams if found],
        "spans": spans,
        "length": spans[-1].start + spans[-1].width if spans else 0,
        "first": first,
        "last": last,
        "legend": legend,
    }


def _departures(site: Site, history: History) -> dict[str, Any]:
    analysed = history.newest_published(Stream.DELAYED, State.PUBLISHED)
    if analysed is None:
        return {"analysed": None, "rows": [], "counts": None, "factors": []}
    statistics = history.statistics(analysed.id)
    rows = [
        (channel(name), found, statistics.omb.get(name), finite(statistics.spread_skill.get(name)))
        for name, found in statistics.oma.items()
    ]
    return {
        "analysed": analysed,
        "rows": [(c, *(_scaled(c.variable, d) for d in (b, a)), a.n, r) for c, a, b, r in rows],
        "counts": history.counts(analysed.id),
        "factors": _factors(history, analysed.id),
    }


SCALES = {"sp": (0.01, "hPa"), "q": (1000.0, "g/kg")}
"""Variable -> factor and unit that people read; others stay."""


def _scaled(variable: str, departure: Any) -> tuple[str, str]:
    if departure is None:
        return "", ""
    factor = SCALES.get(variable, (1.0, ""))[0]
    return tuple("" if finite(x) is None else f"{x * factor:.3g}" for x in (departure.bias, departure.rms))  # type: ignore[return-value]


FACTORS = {
    "observation": "Observation errors: factor of the variance in the table",
    "forecast": "Forecast errors: factor of the variance in the bundle",
    "climate": "Climate: factor of the variance in the bundle",
    "desroziers": "Desroziers' check of observation errors: 1 is right",
}


def _factors(history: History, cycle: int) -> list[tuple[str, list[tuple[str, float]]]]:
    """What the cycle's innovations made of the errors, by channel; empty without adaptation."""
    known = history.all_covariances([cycle])[cycle]
    return [(title, list(known[kind].items())) for kind, title in FACTORS.items() if kind in known]


def _events(site: Site, history: History) -> dict[str, Any]:
    return {"events": [(event, *advice(event.text)) for event in history.events(EVENTS)]}


def _drawn(site: Site) -> list[Channel]:
    try:
        return [channel(name) for name in card(site.config).channels]
    except (OSError, ValueError):
        return []


def _world(site: Site) -> dict[str, str]:
    try:
        told = card(site.config)
    except (OSError, ValueError):
        return {"name": site.config.bundle.path, "world": ""}
    return {"name": f"{told.name} {told.version}", "world": told.world}
