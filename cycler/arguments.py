"""Argument types that several commands share."""

import argparse
from datetime import UTC, datetime

__all__ = ["analysis_time"]


def analysis_time(text: str) -> datetime:
    """An analysis time in UTC, as 2005-08-26T00, with minutes, seconds and Z if one likes."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a time as 2005-08-26T00, got {text!r}") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
