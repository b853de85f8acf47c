"""The response of the denoiser's two parts where a forecast and soundings are known (``Response``).

A forecast grew out of analyses that the network had a part in, and out of a model that knows the climate as well. What
the network says of large scales is to a part in it already, and would count twice. So the regression is of the
posterior's parts: along a cycle over a world that no training saw, with truth x0 under noise, the observations y of the
hour, and the gain K of guidance,

    x0 - G_y  on  G - K H G  and  R - K H R,    G_y = G + K (y - H G),

per noise level, channel and degree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dacycle.cycler.assimilation.analysis import Analyst, Situation
from dacycle.cycler.assimilation.gain import Conditioner, Observations
from dacycle.cycler.assimilation.guidance import misfit
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.assimilation.prior import DiffusionPrior, season_features
from dacycle.cycler.assimilation.response import Response
from dacycle.cycler.experiments.osse_methods import METHODS, Analysis, advance
from dacycle.cycler.products.atomic import write_atomically
from dacycle.cycler.training.dataset import state
from dacycle.cycler.training.response import per_degree, regress
from dacycle.cycler.training.unseen_worlds import UnseenWorld

__all__ = ["Watching", "informed_moments", "informed_response", "watched"]

LEVELS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Watching(Analyst):
    """An analyst that keeps what it drew the last members from."""

    seen: Situation
    observations_seen: Observations
    offset: Tensor | float = 0.0

    def added(self, situation: Situation, noises: Sequence[MemberNoise]) -> Tensor:
        """As ``Analyst.added``; keeps situation and observations, the climate's bias taken out as its mean is thought
        to be, and that bias as ``offset`` (channels, nlat, 1), in units of the bundle's standard deviation."""
        observations, self.offset = situation.system.observations, 0.0
        if situation.bias is not None:
            beta = situation.bias.posterior[0].float()[None]
            observations = replace(observations, innovation=situation.bias.innovation(beta)[0])
            self.offset = situation.bias.field(beta)[0]
        self.seen, self.observations_seen = situation, observations
        return super().added(situation, noises)


def informed_response(moments: Sequence[Tensor]) -> Response:
    """From the ``informed_moments`` of analyses."""
    total = torch.stack(list(moments)).sum(0)
    found = [regress(products[:5], products[5], len(moments)) for products in total]
    gaussian, network = (torch.stack(part) for part in zip(*found, strict=True))
    return Response(torch.tensor(LEVELS), gaussian, network)


def watched(unseen: UnseenWorld, analyst: Watching, skip: int) -> Iterator[Tensor]:
    """``informed_moments`` of every analysis of the world but the first ``skip``, drawn as the product does by default.

    What is done stays in the folder and is read again.
    """
    nature, folder, plan = unseen.nature, unseen.folder, METHODS["sda"]
    shape = len(LEVELS), 6, analyst.prior.gaussian.channels, len(analyst.prior.gaussian.covariance)
    world, place = unseen.begin(analyst, plan)
    for number in range(len(world.batches)):
        kept = folder / f"response-{number:04d}.npy"
        if number >= place.number:
            place, analysis = advance(world, plan, lambda method: analyst, place)
            if number:
                truth = state(nature, world.bundle.channels, nature.times.index(analysis.time))
                _write(kept, _moments(analyst, analysis, truth, number))
            place.save(unseen.place)
        if number >= max(skip, 1):
            yield torch.from_numpy(np.fromfile(kept, np.float64)).view(shape)


def _moments(analyst: Watching, analysis: Analysis, truth: npt.NDArray[np.float32], seed: int) -> Tensor:
    world, time = analyst.seen.world, analysis.time
    std = torch.as_tensor(world.climatology.std)
    anomaly = (torch.as_tensor(truth) - torch.as_tensor(world.climatology.mean(time))) / std
    anomaly = anomaly - analyst.offset * torch.as_tensor(analyst.bundle.climatology.std) / std
    x0 = analyst.prior.variables(anomaly[None].float(), world)
    season = season_features(time)[None]
    return informed_moments(analyst.prior, x0, season, analyst.observations_seen, seed)


@torch.no_grad()
def informed_moments(
    prior: DiffusionPrior, x0: Tensor, season: Tensor, observations: Observations, seed: int
) -> Tensor:
    """(levels, 6, channels, degrees): what ``regress`` takes, the Gaussian's error last; ``x0`` (1, channels, nlat,
    nlon), truth in the prior's variables."""
    gaussian, generator = prior.gaussian, torch.Generator().manual_seed(seed)
    truth, found = gaussian.analyse(x0), []
    nothing = misfit(gaussian, observations, torch.zeros_like(x0))
    for level in torch.tensor(LEVELS):
        noised = x0 + level * gaussian.noise(x0, generator)
        mean, residual, _ = prior.parts(noised, level[None], season)
        fields = torch.cat([mean, mean, residual])  # G given y, then G and R alone
        points, forecast = misfit(gaussian, observations, fields)
        points[1:] -= nothing[0]
        if forecast is not None and nothing[1] is not None:
            forecast[1:] -= nothing[1]
        rest = gaussian.rest * level**2 / (gaussian.rest + level**2)
        system = Conditioner(gaussian, gaussian.posterior_covariance(level), rest, observations)
        given, g, r = gaussian.analyse(fields) + system.solve((points, forecast), tolerance=1e-3).increment
        left = truth[0] - given
        pairs = ((g, g), (g, r), (r, r), (left, g), (left, r), (left, left))
        found.append(torch.stack([per_degree(p[None], q[None]) for p, q in pairs]))
    return torch.stack(found)


def _write(path: Path, moments: Tensor) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(moments.double().numpy().tobytes())

    write_atomically(path, write)
