"""Small plots as SVG text, for reports that need nothing from outside."""

from collections.abc import Mapping
from html import escape

import numpy as np
import numpy.typing as npt

__all__ = ["bars", "lines"]

FloatArray = npt.NDArray[np.float64]
COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#787774", "#cb912f", "#d44c47", "#337ea9", "#222222")
WIDTH, HEIGHT, LEFT, BELOW = 460, 220, 44, 22
OPEN = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' font-size='11'>"


def lines(series: Mapping[str, FloatArray]) -> str:
    """One line per name over the number of the time, from zero up, with a key."""
    top = max(float(np.max(values)) for values in series.values()) or 1.0
    longest = max(2, *(len(values) for values in series.values()))
    parts = [OPEN.format(width=WIDTH + 130, height=HEIGHT)]
    for share in (0.0, 0.5, 1.0):
        y = _y(share * top, top)
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH}' y1='{y:.1f}' y2='{y:.1f}' stroke='#d8dee3'/>")
        parts.append(f"<text x='{LEFT - 4}' y='{y + 4:.1f}' text-anchor='end'>{share * top:.3g}</text>")
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        x = LEFT + np.arange(len(values)) / (longest - 1) * (WIDTH - LEFT)
        points = " ".join(f"{a:.1f},{_y(float(b), top):.1f}" for a, b in zip(x, values, strict=True))
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.5'/>")
        parts.append(f"<text x='{WIDTH + 8}' y='{16 + 15 * number}' fill='{colour}'>{escape(name)}</text>")
    return "".join([*parts, "</svg>"])


def bars(shares: FloatArray, expected: FloatArray) -> str:
    """Shares of ranks, with a line at what is expected of each."""
    width, height = 150, 90
    top = max(float(shares.max()), 1.2 * float(expected.max()))
    step = width / len(shares)
    parts = [OPEN.format(width=width, height=height)]
    for k, share in enumerate(shares):
        tall = float(share) / top * height
        place = f"x='{k * step + 1:.1f}' y='{height - tall:.1f}' width='{step - 2:.1f}' height='{tall:.1f}'"
        parts.append(f"<rect {place} fill='{COLOURS[0]}'/>")
        level = height - float(expected[k]) / top * height
        line = f"x1='{k * step:.1f}' x2='{(k + 1) * step:.1f}' y1='{level:.1f}' y2='{level:.1f}'"
        parts.append(f"<line {line} stroke='#d44c47'/>")
    return "".join([*parts, "</svg>"])


def _y(value: float, top: float) -> float:
    return HEIGHT - BELOW - value / top * (HEIGHT - BELOW - 10)
