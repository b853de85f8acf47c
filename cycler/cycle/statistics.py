"""What the observations say of background and analysis.

    spread_skill = sqrt((N+1)/N s^2 + sigma_o^2) / rms(O-B)

with s^2 the unbiased ensemble variance at the observations, averaged over them: without the observation error a
correct ensemble of N members looks underdispersive.
"""

import numpy as np
import numpy.typing as npt

from dacycle.cycler.cycle.records import Counts, Departure, Statistics
from dacycle.obs.batch import ObservationBatch, Quality

__all__ = ["count", "departures", "desroziers", "statistics"]

FloatArray = npt.NDArray[np.floating]


def count(batch: ObservationBatch, received: int) -> Counts:
    """Soundings (reports) and values by what became of them."""
    values: dict[str, dict[str, int]] = {}
    for channel in _in_order(batch):
        codes, numbers = np.unique(batch.quality[batch.channel == channel], return_counts=True)
        values[channel] = {_status(Quality(int(c))): int(n) for c, n in zip(codes, numbers, strict=True)}
    used = len(np.unique(batch.report[batch.quality == Quality.ASSIMILATED]))
    withheld = len(np.unique(batch.report[batch.quality == Quality.EVALUATED_ONLY]))
    return Counts(received, used, withheld, values)


def _status(quality: Quality) -> str:
    return {Quality.ASSIMILATED: "used", Quality.EVALUATED_ONLY: "withheld"}.get(quality, quality.reason)


def _in_order(batch: ObservationBatch) -> list[str]:
    """The batch's channels in the order of their first appearance."""
    return list(dict.fromkeys(batch.channel.tolist()))


def departures(batch: ObservationBatch, equivalents: FloatArray) -> dict[str, Departure]:
    """Used values minus the mean of ``equivalents`` (members, n), by channel."""
    difference = batch.value - equivalents.mean(0, dtype=np.float64)
    told = {}
    for channel in _in_order(batch.assimilated):
        d = difference[(batch.channel == channel) & (batch.quality == Quality.ASSIMILATED)]
        told[channel] = Departure(len(d), float(d.mean()), float(np.sqrt((d**2).mean())))
    return told


def desroziers(batch: ObservationBatch, background: FloatArray, analysis: FloatArray) -> dict[str, float]:
    """mean of (O-A) (O-B) over that of sigma^2, by channel: one where R is right (Desroziers et al. 2005, eq. 3)."""
    omb = batch.value - background.mean(0, dtype=np.float64)
    oma = batch.value - analysis.mean(0, dtype=np.float64)
    told = {}
    for channel in _in_order(batch.assimilated):
        used = (batch.channel == channel) & (batch.quality == Quality.ASSIMILATED)
        told[channel] = float((omb * oma)[used].mean() / (batch.sigma[used] ** 2).mean())
    return told


def statistics(batch: ObservationBatch, background: FloatArray | None, analysis: FloatArray) -> Statistics:
    """O-B, O-A and spread against skill over the used values; ``background`` None where there is none."""
    oma = departures(batch, analysis)
    if background is None:
        return Statistics({}, oma, {})
    omb = departures(batch, background)
    members = len(background)
    if members < 2:
        return Statistics(omb, oma, {})
    variance = background.var(0, ddof=1, dtype=np.float64)
    ratios = {}
    for channel, d in omb.items():
        used = (batch.channel == channel) & (batch.quality == Quality.ASSIMILATED)
        expected = (members + 1) / members * variance[used].mean() + (batch.sigma[used] ** 2).mean()
        ratios[channel] = float(np.sqrt(expected) / d.rms) if d.rms > 0 else float("nan")
    return Statistics(omb, oma, ratios)
