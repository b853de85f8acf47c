"""Where observations fall among the members of the background, cycle by cycle.

Each member gets a draw of the observation error first, for that is what a value holds; the rank is how many members
then lie below it, 0 to N. A background that is right gives every rank as often; too little spread gives a U.
"""

import json
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dacycle.cycler.cycle.history import History
from dacycle.cycler.cycle.records import format_time
from dacycle.obs.batch import ObservationBatch, Quality

__all__ = ["rank_counts", "rank_histogram"]


def rank_counts(batch: ObservationBatch, background: npt.NDArray[np.floating], seed: int) -> dict[str, list[int]]:
    """Counts (N + 1) by channel over the used values; ``background`` (N, n). Empty for a single member."""
    members = len(background)
    if members < 2:
        return {}
    rng = np.random.default_rng([seed, int(batch.analysis_time.timestamp()) // 3600])
    drawn = background + rng.standard_normal(background.shape) * batch.sigma
    rank = (drawn < batch.value).sum(0)
    used = batch.quality == Quality.ASSIMILATED
    return {
        name: np.bincount(rank[used & (batch.channel == name)], minlength=members + 1).tolist()
        for name in dict.fromkeys(batch.channel[used].tolist())
    }


def rank_histogram(history: History, since: datetime, until: datetime) -> dict[str, list[int]]:
    """Counts by channel over the delayed cycles of a period; ensembles of another size than the newest are left out."""
    rows = history.query(
        "SELECT r.channel, r.counts FROM rank_histograms r JOIN cycles c ON c.id = r.cycle"
        " WHERE c.stream = 'delayed' AND c.state != 'superseded' AND c.time BETWEEN ? AND ? ORDER BY c.time DESC",
        format_time(since),
        format_time(until),
    )
    total: dict[str, list[int]] = {}
    for row in rows:
        counts = json.loads(row["counts"])
        known = total.setdefault(row["channel"], [0] * len(counts))
        if len(known) == len(counts):
            total[row["channel"]] = [a + b for a, b in zip(known, counts, strict=True)]
    return total
