"""What ``dacycle --help`` says of the commands: in groups, for argparse lists them in one."""

from collections.abc import Mapping
from textwrap import TextWrapper

__all__ = ["GROUPS", "overview"]

GROUPS = {
    "every day": "run status doctor cycle backfill hold release skip rerun repair config".split(),
    "products": "verify catalogue export".split(),
    "models and experiments": "demo osse folds simulate train bundle".split(),
}
FIRST_USE = """\
to begin with:
  dacycle demo                            see it work on soundings that ship
  dacycle config default > dacycle.toml   then set [source] and [cycle] in it
  dacycle doctor --config dacycle.toml    then dacycle run --config dacycle.toml"""
COLUMN = 13


def overview(texts: Mapping[str, str]) -> str:
    """Commands by group, each with its text, and how one begins; ``texts``: name -> what the command does."""
    wrapped = TextWrapper(width=100, subsequent_indent=" " * COLUMN)
    groups = [
        "\n".join([f"{title}:", *(wrapped.fill(f"{'  ' + name:<{COLUMN}}{texts[name]}") for name in names)])
        for title, names in GROUPS.items()
    ]
    return "\n\n".join([*groups, FIRST_USE])
