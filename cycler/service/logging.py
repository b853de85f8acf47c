"""``dacycle.cycler.logs`` under its former name."""

from dacycle.cycler.logs import configure

__all__ = ["configure"]
