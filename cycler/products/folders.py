"""Where the products of an analysis time lie.

state/products/YYYY/MM/DD/HH/            the newest products of the delayed stream, manifest.json among them
                         HH/early/       those of the early stream, a product folder of the same kind
                         HH/superseded/1 what a rerun replaced, by revision, with superseded.json in it
                         .HH.staging     being written, or left by a process that died
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

__all__ = ["EARLY", "SUPERSEDED", "Stream", "product_folder", "published_times"]

Stream = Literal["delayed", "early"]
EARLY, SUPERSEDED = "early", "superseded"


def product_folder(state: Path, time: datetime, stream: str = "delayed") -> Path:
    """Where the products of an analysis time lie."""
    folder = state / "products" / f"{time:%Y/%m/%d/%H}"
    return folder if stream == "delayed" else folder / EARLY


def published_times(state: Path) -> Iterator[tuple[datetime, Path]]:
    """Analysis times that have a product folder below ``state``, ascending, with it."""
    for folder in sorted((state / "products").glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]/[0-9][0-9]")):
        try:
            time = datetime(*(int(part) for part in folder.parts[-4:]), tzinfo=UTC)  # type: ignore[misc,arg-type]
        except ValueError:  # digits that are no date are none of ours
            continue
        if folder.is_dir():
            yield time, folder
