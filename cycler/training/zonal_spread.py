"""What members lack in spread, or have too much of, by channel and latitude, in the cycle as it runs.

``spread.py`` measures one share of the Gaussian posterior's variance per degree, for all channels and places. Errors
are not that even: an isotropic covariance of normalised states knows neither storm tracks nor tropics. What is added
to the members is therefore multiplied by a factor of channel and latitude, with whose square

    variance of the members without it + factor^2 x variance of what is added  =  error variance of their mean.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dacycle.cycler.assimilation.adaptation import zonal_basis
from dacycle.cycler.assimilation.analysis import Analyst
from dacycle.cycler.assimilation.noise import MemberNoise
from dacycle.cycler.bundle import Bundle
from dacycle.cycler.experiments.osse_methods import METHODS, Analysis, Place, World, advance
from dacycle.cycler.products.atomic import write_atomically
from dacycle.cycler.training.dataset import Dataset, state
from dacycle.emulators.grid import Grid

__all__ = ["Lack", "cycled", "inflation_factor"]

FloatArray = npt.NDArray[np.float32]
Zonal = npt.NDArray[np.float64]
LARGEST = 2.0  # of the factor; its square multiplies a variance
DRAWS = 4  # of what is added, at each time: only its variance over many points counts


@dataclass(frozen=True)
class Lack:
    """Zonal means of one analysis, (channels, nlat), of normalised states: by how much the members' variance falls
    short of the square error of their mean, and the variance of what is added to them for a factor of one."""

    lack: Zonal
    added: Zonal

    @classmethod
    def of(cls, members: FloatArray, truth: FloatArray, added: FloatArray) -> "Lack":
        """``members`` (N, channels, nlat, nlon) in antithetic pairs, ``truth`` (channels, nlat, nlon), ``added`` (k,
        ...). The mean's own sampling error is allowed for, as in ``spread.lacking_spread``. ValueError below 4."""
        if len(members) < 4:
            raise ValueError(f"the spread of {len(members)} members cannot be judged; expected two pairs or more")
        pairs = members[: len(members) // 2 * 2].astype(np.float64)
        means, halves = (pairs[0::2] + pairs[1::2]) / 2, (pairs[0::2] - pairs[1::2]) / 2
        between = means.var(0, ddof=1)
        error = np.square(means.mean(0) - truth) - between / len(means)
        spread = np.square(halves).mean(0) + between
        return cls(np.asarray((error - spread).mean(-1)), np.asarray(np.square(added).mean(0).mean(-1)))


def inflation_factor(grid: Grid, lacks: Sequence[Lack], before: FloatArray) -> FloatArray:
    """(channels, nlat): the factor that closes the gap, smooth in latitude; ``before``: the one that the members had.

    Its square is fitted by Legendre polynomials of the sine of latitude, as many as the zonal bias has, with the area
    as the weight, and kept between zero and LARGEST squared. ValueError without an analysis.
    """
    if not lacks:
        raise ValueError("the members' spread cannot be judged without an analysis")
    lack, added = (np.mean([getattr(each, name) for each in lacks], 0) for name in ("lack", "added"))
    wanted = np.square(before.astype(np.float64)) + lack / np.maximum(added, 1e-12)
    root = np.sqrt(grid.weights)
    basis = zonal_basis(grid.lat)  # (degrees, nlat)
    coefficients, *_ = np.linalg.lstsq((basis * root).T, (wanted * root).T, rcond=None)
    square = np.clip(coefficients.T @ basis, 0.0, LARGEST**2)
    return np.asarray(np.sqrt(square), dtype=np.float32)


def cycled(world: World, nature: Dataset, analyst: Analyst, skip: int, folder: Path) -> Iterator[Lack]:
    """What is lacking at every analysis time of ``world`` but the first ``skip``, with the product's own default.

    ``nature``: the truth. What is done stays in ``folder`` and is read again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan, path = METHODS["sda"], folder / "place.npz"
    place = Place.load(path) if path.is_file() else Place.start(world, plan)
    for number in range(len(world.batches)):
        kept = folder / f"lack-{number:04d}.npz"
        if number >= place.number:
            place, analysis = advance(world, plan, lambda method: analyst, place)
            if number:
                truth = state(nature, world.bundle.channels, nature.times.index(analysis.time))
                _keep(kept, _compared(world.bundle, analyst, analysis, truth))
            place.save(path)
        if number >= max(skip, 1):
            with np.load(kept, allow_pickle=False) as file:
                yield Lack(file["lack"], file["added"])


def _compared(bundle: Bundle, analyst: Analyst, analysis: Analysis, truth: FloatArray) -> Lack:
    prepared, time = analysis.prepared, analysis.time
    if prepared is None:
        raise ValueError(f"{time:%Y-%m-%dT%H}: expected an analysis that was drawn")
    situation = analyst.situation(time, prepared.batch, analysis.forecast, prepared.now)
    world = replace(situation.world, inflation_factor=np.ones_like(bundle.inflation_factor))
    noises = [MemberNoise(seed, time, 1) for seed in range(1, DRAWS + 1)]
    added = analyst.added(replace(situation, world=world), noises).cpu().numpy()
    mean, std = bundle.climatology.mean(time), bundle.climatology.std
    return Lack.of((analysis.states - mean) / std, (truth - mean) / std, added * world.climatology.std / std)


def _keep(path: Path, found: Lack) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, lack=found.lack, added=found.added)

    write_atomically(path, write)
