"""The bundle's card as the page needs it: which channels, and which world its numbers belong to."""

import tomllib
from functools import lru_cache
from pathlib import Path

from dacycle.cycler.bundle import DEFAULT, Card
from dacycle.cycler.config import Config

__all__ = ["card"]


def card(config: Config) -> Card:
    """Read once per bundle; OSError or ValueError where it cannot be."""
    return _card(config.bundle.path)


@lru_cache(maxsize=2)
def _card(location: str) -> Card:
    path = DEFAULT if location == "default" else Path(location)
    return Card.model_validate(tomllib.loads((path / "bundle.toml").read_text()))
