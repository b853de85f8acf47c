"""Maps as pictures: coloured bands with soft edges, coastlines, a bar that says what the colours mean.

Drawn with numpy and Pillow: a picture takes a few hundredths of a second, where a plotting library takes a second.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dacycle.cycler.products.palettes import palette
from dacycle.cycler.products.projection import ASPECT, coastlines, graticule, project, sampling
from dacycle.emulators.grid import Grid

__all__ = ["Panel", "extent", "levels", "picture"]

FloatArray = npt.NDArray[np.floating]
Degrees = npt.NDArray[np.float64]
INK, QUIET, PAPER = (32, 36, 44), (104, 110, 120), (255, 255, 255)
RIM = (150, 154, 162)
ARROW = 11  # pixels
SOFT = 16  # shades between two bands
FINER = 3  # lines are drawn so much larger, then reduced: that makes them smooth


@dataclass(frozen=True)
class Panel:
    """One map: ``values`` (nlat, nlon) in ``units``, coloured by ``colours`` between ``ticks`` (ascending).

    ``points``: (lat, lon) in degrees of stations to mark.
    """

    title: str
    units: str
    values: FloatArray
    colours: str
    ticks: Sequence[float]
    points: tuple[Degrees, Degrees] | None = field(default=None)


def levels(low: float, high: float, count: int, symmetric: bool = False) -> list[float]:
    """About ``count`` round steps from below ``low`` to above ``high``, or from minus to plus the larger of both."""
    if symmetric:
        high = max(abs(low), abs(high))
        low = -high
    span = max(high - low, 1e-12)
    raw = span / count
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * next(s for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first, last = np.floor(low / step + 1e-6), np.ceil(high / step - 1e-6)
    return [round(float(k * step), 10) for k in np.arange(first, last + 1)]


def picture(grid: Grid, title: str, subtitle: str, panels: Sequence[Panel], width: int = 1200) -> Image.Image:
    """A picture: the first panel large, further ones in pairs below."""
    margin, head, gap = 36, 92, 30
    large = width - 2 * margin
    half = (large - gap) // 2
    tall, low = _height(large), _height(half)
    rows = (len(panels)) // 2
    page = Image.new("RGB", (width, head + tall + rows * (low + gap) + margin // 2), PAPER)
    ink = ImageDraw.Draw(page)
    ink.text((margin, 22), title, font=_font(30), fill=INK)
    ink.text((margin, 60), subtitle, font=_font(17), fill=QUIET)
    for k, panel in enumerate(panels):
        if k == 0:
            place, size = (margin, head), large
        else:
            row, column = divmod(k - 1, 2)
            place, size = (margin + column * (half + gap), head + tall + gap + row * (low + gap)), half
        _draw(page, place, size, grid, panel)
    return page


def _height(width: int) -> int:
    """Of a panel: heading, map, bar and its numbers."""
    return 30 + round(width / ASPECT) + 62


def _draw(page: Image.Image, place: tuple[int, int], width: int, grid: Grid, panel: Panel) -> None:
    ink = ImageDraw.Draw(page)
    x, y = place
    size = 19 if width > 700 else 16
    ink.text((x, y), panel.title, font=_font(size), fill=INK)
    low, high = float(np.min(panel.values)), float(np.max(panel.values))
    ink.text((x + width, y + 2), f"{extent(low, high)} {panel.units}", font=_font(size - 3), fill=QUIET, anchor="ra")
    page.paste(_globe(grid, panel, width), (x, y + 30))
    _bar(ink, (x + width // 8, y + 30 + round(width / ASPECT) + 14), width * 3 // 4, panel)


def _globe(grid: Grid, panel: Panel, width: int) -> Image.Image:
    seen = sampling(grid, width)
    colours = palette(panel.colours, len(panel.ticks) - 1)
    edges = np.asarray(panel.ticks)
    t = np.interp(seen.of(panel.values), edges, np.arange(len(edges))).astype(np.float32)
    band = np.clip(np.rint(t), 1, len(colours) - 1)
    # A band ends softly, over one pixel: the distance to its edge in pixels is that in bands over the slope.
    slope = np.maximum(np.abs(np.gradient(t, axis=0)) + np.abs(np.gradient(t, axis=1)), 1e-3)
    share = np.clip((t - band) / slope + 0.5, 0.0, 1.0)
    steps = np.linspace(0, 1, SOFT, dtype=np.float32)[:, None]
    table = (colours[:-1, None] * (1 - steps) + colours[1:, None] * steps).reshape(-1, 3)
    index = ((band - 1) * SOFT + np.rint(share * (SOFT - 1))).astype(np.int32)
    drawn = Image.fromarray(np.rint(table).astype(np.uint8)[index])
    drawn.paste(INK, mask=_lines(width))
    if panel.points is not None:
        drawn.paste(INK, mask=_dots(panel.points, width))
    drawn.paste(PAPER, mask=_mask(1 - seen.inside))
    return drawn


@lru_cache(maxsize=4)
def _lines(width: int) -> Image.Image:
    """How much ink coastlines, graticule and the globe's rim leave in each pixel."""
    coast = _ink(coastlines(), width, 1.1 if width > 700 else 0.8)
    thin = _ink(graticule(), width, 0.5)
    rim = np.linspace(-90, 90, 361)
    outline = [project(rim, np.full(361, 10.0 + side)) for side in (-179.999, 179.999)]
    return _mask(np.maximum.reduce([0.85 * coast, 0.16 * thin, 0.7 * _ink(outline, width, 1.2)]))


def _mask(shares: npt.NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(255 * shares).astype(np.uint8))


def _ink(lines: Iterable[tuple[FloatArray, FloatArray]], width: int, thickness: float) -> npt.NDArray[np.float32]:
    height = round(width / ASPECT)
    page = Image.new("L", (width * FINER, height * FINER))
    draw = ImageDraw.Draw(page)
    for x, y in lines:
        at = np.stack([(x + 1) / 2 * width * FINER, (1 - y) / 2 * height * FINER], -1)
        draw.line([(float(a), float(b)) for a, b in at], fill=255, width=max(1, round(thickness * FINER)))
    return np.asarray(page.reduce(FINER), np.float32) / 255.0


def _dots(points: tuple[Degrees, Degrees], width: int) -> Image.Image:
    height = round(width / ASPECT)
    page = Image.new("L", (width * FINER, height * FINER))
    draw = ImageDraw.Draw(page)
    radius = 1.3 * FINER
    for x, y in zip(*project(*points), strict=True):
        a, b = (x + 1) / 2 * width * FINER, (1 - y) / 2 * height * FINER
        draw.ellipse((a - radius, b - radius, a + radius, b + radius), fill=255)
    return page.reduce(FINER).point(lambda ink: ink * 3 // 4)


def extent(low: float, high: float) -> str:
    """Both ends with the decimals that the larger deserves: 0 to 142, not 0.0967 to 142."""
    largest = max(abs(low), abs(high), 1e-12)
    decimals = max(0, 2 - int(np.floor(np.log10(largest))))
    return f"{low:.{decimals}f} to {high:.{decimals}f}".replace(f"-{0:.{decimals}f} to", f"{0:.{decimals}f} to")


def _bar(ink: ImageDraw.ImageDraw, place: tuple[int, int], width: int, panel: Panel) -> None:
    x, y = place
    colours = palette(panel.colours, len(panel.ticks) - 1)
    edges = [x + round(width * k / len(colours)) for k in range(len(colours) + 1)]
    for left, right, colour in zip(edges, edges[1:], colours, strict=False):
        ink.rectangle((left, y, right - 1, y + 11), fill=_ink_of(colour))
    ink.rectangle((x - 1, y - 1, x + width, y + 12), outline=RIM)
    # An arrow where values lie beyond the end, which have the colour of the end.
    if np.min(panel.values) < panel.ticks[0]:
        ink.polygon([(x - 2, y - 1), (x - 2, y + 12), (x - ARROW, y + 5)], fill=_ink_of(colours[0]), outline=RIM)
    if np.max(panel.values) > panel.ticks[-1]:
        end = x + width + 1
        ink.polygon([(end, y - 1), (end, y + 12), (end + ARROW, y + 5)], fill=_ink_of(colours[-1]), outline=RIM)
    every = max(1, round(len(edges) / (width / 62)))
    zero = next((k for k, tick in enumerate(panel.ticks) if tick == 0), 0)
    for k in range(zero % every, len(edges), every):
        ink.text((edges[k], y + 17), _number(panel.ticks[k]), font=_font(13), fill=QUIET, anchor="ma")
    ink.text((x + width + ARROW + 8, y + 6), panel.units, font=_font(14), fill=INK, anchor="lm")


def _ink_of(colour: npt.NDArray[np.floating]) -> tuple[int, ...]:
    return tuple(round(float(c)) for c in colour)


def _number(value: float, digits: int = 4) -> str:
    text = f"{value:.{digits}g}" if abs(value) < 1e3 else f"{value:.0f}"
    return text if float(text) else "0"


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
