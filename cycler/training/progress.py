"""How far a long command is: one line, rewritten on a terminal."""

import sys

__all__ = ["one_line"]


def one_line(text: str, fraction: float) -> None:
    """Say ``text`` and the ``fraction`` that is done."""
    print(f"{text} {100 * fraction:.1f} %", end="\r" if sys.stdout.isatty() else "\n", flush=True)
