"""Learning from the innovations of one time: error variances and the climate's bias, channel by channel.

Two innovations tell different things (the parts of their covariances in brackets):

    against the climatology   y - H mean        [alpha^2 H C H',  tau^2 E E',  r R;  known: how far zonal means depart
                                                 from the climatology in the bundle's own world, E W E']
    against the forecast      y - H E[x | f]    [p H P H',  r R;  known: what the forecast does not resolve, and what
                                                 shows of the bias beside it (``bias_patterns.py``)]

C: climatological covariance, P: error covariance of the calibrated forecast, E: the zonal basis at the stations. The
first one changes little from one cycle to the next, so it counts as a fraction of an independent sample once a
forecast is there, and then leaves r to the second. The bias itself is found from the first one alone: of its patterns
next to nothing shows beside a forecast.
"""

from dataclasses import replace
from datetime import datetime
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adaptation import BOUNDS, ZONAL_DEGREES, Adaptation
from dacycle.cycler.assimilation.ageing import Age
from dacycle.cycler.assimilation.bias_patterns import bias_operator, felt_with_forecast
from dacycle.cycler.assimilation.calibrated import calibrated
from dacycle.cycler.assimilation.error_level import ErrorLevel
from dacycle.cycler.assimilation.fields import lift, regrid
from dacycle.cycler.assimilation.gaussian import GaussianPrior
from dacycle.cycler.assimilation.local_error import local_weights
from dacycle.cycler.assimilation.points import PointOperator, point_operator
from dacycle.cycler.assimilation.prior import DiffusionPrior
from dacycle.cycler.assimilation.variance_components import Estimate, estimate, score
from dacycle.cycler.bundle import Bundle
from dacycle.obs.batch import ObservationBatch

__all__ = ["adapt"]

FloatArray = npt.NDArray[np.float64]
FEWEST = 30  # values of a channel: below that nothing is learnt of it
WEATHER_HOURS = 5 * 24.0  # how long the weather remembers itself
CLIMATE, BIAS, FORECAST, OBSERVATION = range(4)


def adapt(
    bundle: Bundle,
    prior: DiffusionPrior,
    known: Adaptation,
    batch: ObservationBatch,
    forecast: npt.NDArray[np.float32] | None,
    hours: float,
) -> tuple[Adaptation, Adaptation]:
    """What is known after the innovations of ``batch``, whose assimilated values carry the error table's sigma.

    ``known``: what is known before; ``forecast`` (N, channels, h, w): the emulator's, in the world's climate, over
    ``hours``. Returns what this analysis stands on and what the next one starts from. The analysis solves for the
    bias itself, so it takes the one expected before; and a forecast was made for the climate known before.
    """
    world, climate = known.world(bundle), prior.climate
    points, innovation = point_operator(world, climate, batch, batch.analysis_time)
    factors, information = known.factors.copy(), known.information.copy()
    bias, spread = known.bias.copy(), known.bias_covariance.copy()
    departure, local, share = innovation, None, None
    if forecast is not None:
        share = felt_with_forecast(world, climate)
        local = local_weights(bundle, world.climatology.std, climate, forecast, Age(hours, hours))
        departure = innovation - points.apply(expected(world, prior, forecast, batch, local)[None])[0]
    basis = bias_operator(points, climate, known)
    season = points.of_own_channel(_season(bundle, batch.analysis_time))
    small = None if local is None else _small_scales(world, prior, points, batch)
    own_world = (
        np.zeros((len(known.channels), ZONAL_DEGREES)) if bundle.zonal_variance is None else bundle.zonal_variance
    )
    level, scores = known.level or ErrorLevel(), list[tuple[float, float]]()
    for c in range(len(known.channels)):
        rows = torch.nonzero(points.channel == c)[:, 0]
        if len(rows) < FEWEST:
            continue
        own = _Channel(points, climate, c, rows, float(known.factor("climate")[c]), season, small)
        zonal = basis[:, rows].T.double()
        seen = innovation[rows].double() + zonal @ torch.as_tensor(known.bias[c])  # against the bundle's own mean
        free = [CLIMATE, BIAS, OBSERVATION] if forecast is None else [CLIMATE, BIAS]
        weight = 1.0 if forecast is None else min(hours / WEATHER_HOURS, 1.0)
        parts = {CLIMATE: own.climate, BIAS: zonal @ zonal.T, OBSERVATION: torch.eye(len(rows))}
        usual = (zonal * torch.as_tensor(own_world[c])) @ zonal.T
        _learn(seen, parts, usual, free, factors[c], information[c], weight)
        if share is None:
            spread[c] = np.exp(factors[c, BIAS]) * np.eye(ZONAL_DEGREES)
        else:
            bias[c], spread[c] = _under(bias[c], spread[c], *np.exp([known.factors[c, BIAS], factors[c, BIAS]]))
            error, felt = own.error(bundle, local), zonal * torch.as_tensor(share[c])
            fixed = own.unresolved(len(bundle.forecast_error)) + felt @ torch.as_tensor(spread[c]) @ felt.T
            parts = {FORECAST: error, OBSERVATION: torch.eye(len(rows))}
            _learn(departure[rows].double(), parts, fixed, [FORECAST, OBSERVATION], factors[c], information[c], 1.0)
            rest = fixed + np.exp(factors[c, OBSERVATION]) * parts[OBSERVATION]
            scores.append(score(departure[rows], error, rest, level.log))
        total = (
            usual + np.exp(factors[c, CLIMATE]) * own.climate + np.exp(factors[c, OBSERVATION]) * torch.eye(len(rows))
        )
        left = seen - zonal @ torch.as_tensor(bias[c])
        change, spread[c] = _regress(left, zonal, total.double() / weight, spread[c])
        bias[c] += change
    found = level.after(scores) if scores else known.level
    after = replace(known, factors=factors, information=information, bias=bias, bias_covariance=spread, level=found)
    present = factors.copy()
    if forecast is not None:
        present[:, CLIMATE] = known.factors[:, CLIMATE]
        return replace(known, factors=present, level=found), after
    # Without a forecast the analysis finds both: the bias, and what zonal means have of themselves.
    both = np.exp(factors[:, BIAS, None]) + own_world
    return replace(known, factors=present, bias_covariance=both[:, None] * np.eye(ZONAL_DEGREES)), after


def _season(bundle: Bundle, time: datetime) -> Tensor:
    """(channels, nlat, nlon): the date's standard deviation of anomalies over the year's, on the analysis grid."""
    if bundle.seasonal_variance is None:
        return torch.ones(len(bundle.channels), *bundle.grid.shape)
    return regrid(torch.as_tensor(np.sqrt(bundle.variance(time))), bundle.coarse, bundle.grid)


def expected(
    world: Bundle,
    prior: DiffusionPrior,
    forecast: npt.NDArray[np.float32],
    batch: ObservationBatch,
    local: Tensor | None = None,
) -> Tensor:
    """E[x | f] (channels, nlat, nlon): the calibrated mean forecast as a normalised anomaly, with ``local`` weights
    (nodes, nlat, nlon) or the same everywhere."""
    time = batch.analysis_time
    anomaly = (lift(world, forecast.mean(0), time) - world.climatology.mean(time)) / world.climatology.std
    return calibrated(world, prior.balance_in(world), torch.as_tensor(anomaly), local)


def _small_scales(
    world: Bundle, prior: DiffusionPrior, points: PointOperator, batch: ObservationBatch
) -> Tensor | None:
    """Of what a forecast does not reach, the standard deviation at every value that an analysis takes it to have, over
    that of the anomalies' own covariance (n,); None where the two are the same.

    The bundle's factor is on what the covariance of the prior's variables says there, and if those are control
    variables that is more for winds, up to the double.
    """
    if world.small_scales is None:
        return None
    degrees, climate = len(world.forecast_error), prior.climate
    seen, _ = point_operator(world, prior.gaussian, batch, batch.analysis_time, prior.balance_in(world))

    def beyond(covariance: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(covariance[:degrees]), covariance[degrees:]])

    told = seen.variance(beyond(prior.gaussian.covariance)) / points.variance(beyond(climate.covariance)).clamp_min(
        1e-12
    )
    return points.of_latitude(torch.as_tensor(world.small_scales)) * told.sqrt()


class _Channel:
    """Covariances at the values ``rows`` of channel ``c``, in units of their errors; ``scale``: alpha^2 in them;
    factors on standard deviations (n,): ``season``, of the climate's at the date, ``small``, of what a forecast leaves
    as it was."""

    def __init__(
        self,
        points: PointOperator,
        prior: GaussianPrior,
        c: int,
        rows: Tensor,
        scale: float,
        season: Tensor,
        small: Tensor | None,
    ) -> None:
        self._points, self._rows, self._channel, self.scale = points, rows, c, scale
        self._own = prior.covariance[:, c, c]
        self._season = season[rows]
        self._small = torch.ones(len(rows)) if small is None else small[rows]
        self._rest = torch.diag(prior.rest[c] * points.weights[rows].square().sum(-1))

    def matrix(self, variance: Tensor) -> Tensor:
        """H V H' for a variance per degree (at most L,)."""
        return self._points.within(self._rows, variance)

    def error(self, bundle: Bundle, local: Tensor | None) -> Tensor:
        """H P H' of the forecast, with ``local`` weights or the same everywhere."""
        c = self._channel
        wrong = bundle.local_anomaly_error
        if local is None or wrong is None:
            return self.matrix(torch.as_tensor(bundle.anomaly_error[:, c, c]))
        weights = self._points.interpolate(local)[:, self._rows]
        roots = [torch.as_tensor(e[:, c, c]).clamp_min(0).sqrt() for e in wrong]
        total = torch.zeros(len(self._rows), len(self._rows))
        for (first, root), (second, other) in combinations_with_replacement(zip(weights, roots, strict=True), 2):
            both = first[:, None] * second
            total += (both if first is second else both + both.T) * self.matrix(root * other)
        return total

    @property
    def climate(self) -> Tensor:
        """H C H' and the white rest at the date, for alpha = 1."""
        return self._season[:, None] * (self.matrix(self._own) + self._rest) * self._season / self.scale

    def unresolved(self, degrees: int) -> Tensor:
        """What a forecast of that many degrees leaves as it was."""
        beyond = torch.cat([torch.zeros(degrees), self._own[degrees:]])
        return self._small[:, None] * self.matrix(beyond) * self._small + self._rest


def _learn(
    innovation: Tensor,
    parts: dict[int, Tensor],
    fixed: Tensor | None,
    free: list[int],
    factors: FloatArray,
    information: FloatArray,
    weight: float,
) -> None:
    """Estimate the ``free`` factors, in place; the other parts keep their size."""
    for name in set(parts) - set(free):
        part = np.exp(factors[name]) * parts[name].double()
        fixed = part if fixed is None else fixed + part
    # What is known of the free ones alone: the others are not revised by this innovation.
    chosen = np.ix_(free, free)
    covariance = np.linalg.inv(information)
    before = Estimate(factors[free], np.linalg.inv(covariance[chosen]))
    found = estimate(innovation, [parts[name] for name in free], fixed, before, BOUNDS[free], weight)
    factors[free] = found.theta
    information[chosen] += found.information


def _under(bias: FloatArray, spread: FloatArray, before: float, after: float) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of a bias whose prior variance was ``before`` and is now ``after``, from the same data."""
    precision = np.linalg.inv(spread)
    now = np.linalg.inv(precision + (1 / after - 1 / before) * np.eye(ZONAL_DEGREES))
    return now @ precision @ bias, (now + now.T) / 2


def _regress(innovation: Tensor, basis: Tensor, total: Tensor, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance of the bias given ``innovation``, whose covariance without it is ``total``."""
    prior = torch.as_tensor(covariance)
    weighed = torch.cholesky_solve(basis, torch.linalg.cholesky(total))
    gain = torch.linalg.solve(torch.eye(len(prior), dtype=torch.float64) + prior @ basis.T @ weighed, prior)
    return (gain @ (weighed.T @ innovation)).numpy(), ((gain + gain.T) / 2).numpy()
