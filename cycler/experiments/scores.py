"""Root mean square errors of ensemble means against gridded truth, and the table that shows them."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from rich.table import Table

from dacycle.channels import Channel
from dacycle.emulators.grid import Grid

__all__ = ["FloatArray", "Rmse", "mean_over", "rmse", "score_table"]

FloatArray = npt.NDArray[np.float32]
Rmse = npt.NDArray[np.float64]
"""(channels,), the channels' units."""

# Humidity in g/kg and pressure in hPa read better in a table.
_SHOWN = {"q": (1e3, "g/kg"), "sp": (1e-2, "hPa")}


def rmse(grid: Grid, state: FloatArray, truth: FloatArray) -> Rmse:
    """Area-weighted over the sphere, per channel; both (channels, nlat, nlon)."""
    return np.sqrt(grid.mean(np.square(state.astype(np.float64) - truth)))


def mean_over(errors: Sequence[Rmse]) -> Rmse:
    """Root of the mean square over several times."""
    return np.asarray(np.sqrt(np.mean(np.square(errors), axis=0)))


def score_table(title: str, channels: Sequence[Channel], columns: Mapping[str, Rmse]) -> Table:
    """One row per channel, one column per method; the best is bold and starred."""
    table = Table(title=title, title_justify="left")
    table.add_column("channel")
    table.add_column("unit")
    for name in columns:
        table.add_column(name, justify="right")
    values = np.stack(list(columns.values()))
    for k, channel in enumerate(channels):
        factor, unit = _SHOWN.get(channel.variable, (1.0, channel.units.replace(" s-1", "/s")))
        best = int(np.nan_to_num(values[:, k], nan=np.inf).argmin())
        cells = [f"{v * factor:.3g}" if v * factor < 100 else f"{v * factor:.0f}" for v in values[:, k]]
        cells[best] = f"[bold]{cells[best]}*[/bold]"
        table.add_row(channel.name, unit, *cells)
    return table
