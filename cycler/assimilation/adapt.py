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

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.adaptation import BOUNDS, FACTORS, ZONAL_DEGREES, Adaptation
from dacycle.cycler.assimilation.ageing import Age
from dacycle.cycler.assimilation.bias_patterns import (
    bias_operator,
    felt,
    felt_with_forecast,
    regressed,
    under,
    usual_variance,
)
from dacycle.cycler.assimilation.calibrated import calibrated
from dacycle.cycler.assimilation.error_level import ErrorLevel
from dacycle.cycler.assimilation.fields import lift
from dacycle.cycler.assimilation.innovation_covariances import InnovationCovariances
from dacycle.cycler.assimilation.local_error import local_weights
from dacycle.cycler.assimilation.points import point_operator
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
    bias, before, spread = known.bias.copy(), known.bias_covariance.copy(), known.bias_covariance.copy()
    departure, local, share = innovation, None, felt(len(known.channels))
    if forecast is not None:
        local = local_weights(bundle, world.climatology.std, climate, forecast, Age(hours, hours))
        departure = innovation - points.apply(expected(world, prior, forecast, batch, local)[None])[0]
        share = felt_with_forecast(world, climate)
    parts = InnovationCovariances(world, prior, points, batch, local)
    basis, own_world = bias_operator(points, climate, known), usual_variance(bundle)
    level, scores = known.level or _usual_level(bundle, batch.analysis_time), list[tuple[float, float]]()
    # Against the climatology, one time after another is nearly the same.
    weight = 1.0 if forecast is None else min(hours / WEATHER_HOURS, 1.0)
    for c, alpha in enumerate(known.factor("climate").tolist()):
        rows = torch.nonzero(points.channel == c)[:, 0]
        if len(rows) < FEWEST:
            continue
        own, white, zonal = parts.of(c, rows), torch.eye(len(rows)), basis[:, rows].T.double()
        usual = (zonal * torch.as_tensor(own_world[c])) @ zonal.T
        seen = innovation[rows].double() + zonal @ torch.as_tensor(known.bias[c])  # against the bundle's own mean
        of_climate = {CLIMATE: own.climate / alpha, BIAS: zonal @ zonal.T, OBSERVATION: white}
        free = [CLIMATE, BIAS, OBSERVATION] if forecast is None else [CLIMATE, BIAS]
        _learn(seen, of_climate, usual, free, factors[c], information[c], weight)
        bias[c], before[c] = under(bias[c], spread[c], *np.exp([known.factors[c, BIAS], factors[c, BIAS]]))
        if forecast is not None:
            shows = zonal * torch.as_tensor(share[c])
            fixed = own.unresolved + shows @ torch.as_tensor(before[c]) @ shows.T
            of_forecast = {FORECAST: own.error(bundle), OBSERVATION: white}
            free = [FORECAST, OBSERVATION]
            _learn(departure[rows].double(), of_forecast, fixed, free, factors[c], information[c], 1.0)
            rest = fixed + np.exp(factors[c, OBSERVATION]) * white
            scores.append(score(departure[rows], of_forecast[FORECAST], rest, level.log))
        total = usual + np.exp(factors[c, CLIMATE]) * of_climate[CLIMATE] + np.exp(factors[c, OBSERVATION]) * white
        bias[c], spread[c] = regressed(bias[c], before[c], seen, zonal, total / weight)
    found = level.after(scores) if scores else known.level
    after = replace(known, factors=factors, information=information, bias=bias, bias_covariance=spread, level=found)
    if forecast is not None:
        present = np.where(np.arange(len(FACTORS)) == CLIMATE, known.factors, factors)
        return replace(known, factors=present, level=found), after
    # Without a forecast the analysis finds both: the bias, and what zonal means have of themselves.
    both = before + own_world[:, None] * np.eye(ZONAL_DEGREES)
    return replace(known, factors=factors, information=information, bias_covariance=both), after


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


def _usual_level(bundle: Bundle, time: datetime) -> ErrorLevel:
    factor = bundle.inflation
    return ErrorLevel() if factor is None else factor.usual_level(bundle.season(time))


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
