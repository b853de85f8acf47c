"""The time of year as a vector of functions, on which climatologies are fitted."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

__all__ = ["season_basis"]

YEAR_DAYS = 365.2425


def season_basis(time: datetime) -> npt.NDArray[np.float32]:
    """(5,): one, then cosine and sine of one and two cycles a year at ``time`` (aware UTC)."""
    days = (time - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() / 86400.0
    phase = 2 * np.pi * days / YEAR_DAYS
    return np.array([1.0, *(f(k * phase) for k in (1, 2) for f in (np.cos, np.sin))], dtype=np.float32)
