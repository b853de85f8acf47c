"""Pieces of many stations' texts -> the soundings of one time."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dacycle.obs.igra.format import parse
from dacycle.obs.igra.spans import Span, Window
from dacycle.obs.soundings import InputFile, Problem, Soundings

__all__ = ["assemble"]


def assemble(spans: Sequence[Span | Problem], window: Window) -> Soundings:
    """The soundings of ``window`` in all ``spans``, parsed in one go; problems name the files they are in.

    Of a sounding that occurs more than once under the same station, nominal and release time, the first stands.
    """
    texts: list[bytes] = []
    sources: list[InputFile] = []
    origins: list[int] = []
    unreadable = [span for span in spans if isinstance(span, Problem)]
    for span in spans:
        if isinstance(span, Problem):
            continue
        for piece in span.pieces(*window):
            texts.append(piece.text)
            sources.append(span.source)
            origins.append(piece.line)
    text = b"".join(texts)
    found = parse(text, "")
    first_line = np.cumsum([1, *(piece.count(b"\n") for piece in texts)])
    first_byte = np.cumsum([0, *map(len, texts)])

    def located(problem: Problem) -> Problem:
        if problem.line is None:
            return problem
        k = int(np.searchsorted(first_line, problem.line, side="right")) - 1
        return replace(problem, file=sources[k].name, line=origins[k] + problem.line - int(first_line[k]))

    reports = found.reports
    reference = reports.reference
    inside = np.flatnonzero((reference >= window[0]) & (reference < window[1]))
    chosen = inside[np.sort(np.unique(reports.key[inside], return_index=True)[1])]
    begin, end = reports.begin[chosen], reports.end[chosen]
    digests = [hashlib.sha256(text[a:b]).hexdigest()[:16] for a, b in zip(begin, end, strict=True)]
    kept = found.select(chosen)
    kept = replace(kept, reports=replace(kept.reports, digest=np.array(digests, "U16")))
    origin = np.searchsorted(first_byte, begin, side="right") - 1
    inputs = {sources[k].name: sources[k] for k in origin.tolist()}
    strangers = [
        Problem(sources[k].name, None, None, f"a sounding of another station, {station}")
        for k, station in zip(origin.tolist(), kept.reports.station.tolist(), strict=True)
        if station not in sources[k].name
    ]
    dated = [
        Problem(span.source.name, None, None, f"{span.late} soundings dated later than its name allows, left aside")
        for span in spans
        if isinstance(span, Span) and span.late
    ]
    problems = (*unreadable, *dated, *(located(problem) for problem in found.problems), *strangers)
    return replace(kept, problems=problems, inputs=tuple(inputs.values()))
