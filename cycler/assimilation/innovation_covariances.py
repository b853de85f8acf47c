"""Covariances of the parts of innovations, channel by channel, in units of the observations' errors.

Of the climate at the date, of the calibrated forecast's error, and of what a forecast does not reach. The parts'
shapes: how large they are in the world that is watched, ``adapt.py`` estimates.
"""

from datetime import datetime
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor

from dacycle.cycler.assimilation.background import beyond
from dacycle.cycler.assimilation.fields import regrid
from dacycle.cycler.assimilation.points import PointOperator, point_operator
from dacycle.cycler.assimilation.prior import DiffusionPrior
from dacycle.cycler.bundle import Bundle
from dacycle.obs.batch import ObservationBatch

__all__ = ["ChannelCovariances", "InnovationCovariances"]


class InnovationCovariances:
    """Of one time's values, which ``points`` sees in anomalies of the ``world``; ``local`` (nodes, nlat, nlon): the
    forecast's weights of places, or None."""

    def __init__(
        self, world: Bundle, prior: DiffusionPrior, points: PointOperator, batch: ObservationBatch, local: Tensor | None
    ) -> None:
        self.world, self.climate, self.points = world, prior.climate, points
        self.season = points.of_own_channel(_season(world, batch.analysis_time))
        self.local = None if local is None or world.local_anomaly_error is None else points.interpolate(local)
        small = local is not None and world.small_scales is not None
        self.small = _small_scales(world, prior, points, batch) if small else torch.ones(len(points))

    def of(self, channel: int, rows: Tensor) -> "ChannelCovariances":
        """Those of one ``channel``'s values ``rows``."""
        return ChannelCovariances(self, channel, rows)


class ChannelCovariances:
    """Each (n, n), of ``rows`` (n,), the values of channel ``c``."""

    def __init__(self, of: InnovationCovariances, c: int, rows: Tensor) -> None:
        self._of, self._channel, self._rows = of, c, rows
        self._own = of.climate.covariance[:, c, c]
        self._rest = torch.diag(of.climate.rest[c] * of.points.weights[rows].square().sum(-1))

    @property
    def climate(self) -> Tensor:
        """H C H' and the white rest, at the date."""
        season = self._of.season[self._rows]
        return season[:, None] * (self._seen(self._own) + self._rest) * season

    def error(self, bundle: Bundle) -> Tensor:
        """H P H' of the forecast's error as ``bundle`` has it, by place where that is known."""
        c, wrong = self._channel, bundle.local_anomaly_error
        if self._of.local is None or wrong is None:
            return self._seen(torch.as_tensor(bundle.anomaly_error[:, c, c]))
        weights = self._of.local[:, self._rows]
        roots = [torch.as_tensor(e[:, c, c]).clamp_min(0).sqrt() for e in wrong]
        total = torch.zeros(len(self._rows), len(self._rows))
        for (first, root), (second, other) in combinations_with_replacement(zip(weights, roots, strict=True), 2):
            both = first[:, None] * second
            total += (both if first is second else both + both.T) * self._seen(root * other)
        return total

    @property
    def unresolved(self) -> Tensor:
        """What a forecast leaves as it was."""
        small = self._of.small[self._rows]
        unreached = beyond(self._own, len(self._of.world.forecast_error))
        return small[:, None] * self._seen(unreached) * small + self._rest

    def _seen(self, variance: Tensor) -> Tensor:
        """H V H' for a variance per degree (at most L,)."""
        return self._of.points.within(self._rows, variance)


def _season(bundle: Bundle, time: datetime) -> Tensor:
    """(channels, nlat, nlon): the date's standard deviation of anomalies over the year's, on the analysis grid."""
    if bundle.seasonal_variance is None:
        return torch.ones(len(bundle.channels), *bundle.grid.shape)
    return regrid(torch.as_tensor(np.sqrt(bundle.variance(time))), bundle.coarse, bundle.grid)


def _small_scales(world: Bundle, prior: DiffusionPrior, points: PointOperator, batch: ObservationBatch) -> Tensor:
    """Of what a forecast does not reach, the standard deviation at every value that an analysis takes it to have, over
    that of the anomalies' own covariance (n,).

    The bundle's factor is on what the covariance of the prior's variables says there, and if those are control
    variables that is more for winds, up to the double.
    """
    degrees = len(world.forecast_error)
    seen, _ = point_operator(world, prior.gaussian, batch, batch.analysis_time, prior.balance_in(world))
    taken = seen.variance(beyond(prior.gaussian.covariance, degrees))
    own = points.variance(beyond(prior.climate.covariance, degrees)).clamp_min(1e-12)
    return points.of_latitude(torch.as_tensor(world.small_scales)) * (taken / own).sqrt()
