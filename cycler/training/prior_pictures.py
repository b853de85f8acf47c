"""A page of pictures of a prior's evaluation: maps of samples beside truth, spectra, histograms. Needs matplotlib."""

import html
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dacycle.cycler.bundle import Bundle
from dacycle.cycler.products.atomic import write_bytes
from dacycle.cycler.training.prior_scores import histograms, spectral_ratio

__all__ = ["write_page"]

FloatArray = npt.NDArray[np.float32]
SHOWN = 3  # samples on the maps


def write_page(folder: Path, bundle: Bundle, samples: FloatArray, truth: FloatArray, text: str) -> None:
    """``index.html`` and its PNG files; without matplotlib the page has the text alone, and says so."""
    pictures, note = [], ""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401
    except ImportError:
        note = "Without matplotlib there are no pictures: pip install 'dacycle[pictures]'."
    else:
        pictures = [_spectra(folder, bundle, samples, truth), _histograms(folder, bundle, samples, truth)]
        pictures += [_maps(folder, bundle, name, samples, truth) for name in bundle.card.channels]
    images = "\n".join(f'<figure><img src="{name}" alt="{name}" width="100%"></figure>' for name in pictures)
    title = f"Prior of the bundle {html.escape(bundle.card.name)}"
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<body style="max-width: 70rem; margin: auto; font-family: sans-serif">
<h1>{title}</h1>
<p>{html.escape(note)}</p>
<pre style="white-space: pre-wrap">{html.escape(text)}</pre>
{images}
</body></html>
"""
    write_bytes(folder / "index.html", page.encode())


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, folder: Path, name: str) -> str:
    figure.savefig(folder / name, dpi=80)
    return name


def _spectra(folder: Path, bundle: Bundle, samples: FloatArray, truth: FloatArray) -> str:
    figure, ratio = _figure(11, 6), spectral_ratio(samples, truth, bundle.grid)
    axis = figure.subplots()
    for name, row in zip(bundle.card.channels, ratio, strict=True):
        axis.plot(np.arange(1, len(row) - 1), row[1:-1], label=name, linewidth=1)
    axis.axhspan(1 / 1.2, 1.2, color="0.9")
    axis.set(xscale="log", yscale="log", ylim=(0.2, 5), xlabel="zonal wavenumber", title="energy of samples / truth")
    axis.legend(ncols=6, fontsize=8)
    return _save(figure, folder, "spectra.png")


def _histograms(folder: Path, bundle: Bundle, samples: FloatArray, truth: FloatArray) -> str:
    figure = _figure(11, 11)
    axes = figure.subplots(5, 4).flat
    for axis, name, (edges, ours, theirs) in zip(axes, bundle.card.channels, histograms(samples, truth), strict=False):
        axis.stairs(ours, edges, label="samples")
        axis.stairs(theirs, edges, label="truth")
        axis.set(title=name, yscale="log")
    axes[0].legend(fontsize=8)
    return _save(figure, folder, "histograms.png")


def _maps(folder: Path, bundle: Bundle, name: str, samples: FloatArray, truth: FloatArray) -> str:
    figure, k = _figure(11, 6), bundle.index(name)
    rows = figure.subplots(2, min(SHOWN, len(samples)), squeeze=False)
    for row, part, told in zip(rows, (samples, truth), ("sample", "truth"), strict=True):
        for axis, field in zip(row, part[:, k], strict=False):
            axis.imshow(field, vmin=-3.5, vmax=3.5, cmap="RdBu_r", aspect="auto", interpolation="nearest")
            axis.set(title=f"{name}, {told}", xticks=[], yticks=[])
    return _save(figure, folder, f"map-{name}.png")
